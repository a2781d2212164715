"""SynthesizerTrn as upstream's programs call it after training: infer, decode, decode_streaming, extract_latent."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, method, require
from porter.validate.cases.synthesizer import (
    SPEAKER_CHANNELS,
    SSL_CHANNELS,
    TURNS,
    VERSIONS,
    arguments,
    symbols,
    training_batch,
)
from porter.validate.cases.text_encoder import OVERLAP, PADDING, RESULT
from porter.validate.settings import Settings

Inputs = Callable[[Any, Settings, torch.Generator], Batch]

_SPEED, _SLOW = 1.25, 0.8
_CODES = 1024  # entries of the codebook, fixed by upstream's code


def told(version: str, name: str, *needed: str) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments. Unavailable where the method `name` lacks one of the parameters `needed`."""

    def arguments_of(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        built = arguments(version)(constructor, settings)
        # The v2Pro family adds the speaker's features to the style, and widens it.
        speaker = ("sv_emb",) if version.startswith("v2Pro") and name != "extract_latent" else ()
        require(method(constructor, name), *needed, *speaker)
        return built

    return arguments_of


def _features(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": torch.randn(settings.batch, SSL_CHANNELS, settings.frames, generator=generator)}


def _whole(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return training_batch(model, settings, generator, "infer")


def codes_batch(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """For one sample: codes (1, 1, codes), text (1, phonemes), a reference spectrogram refer (1, channels, frames)."""
    return {
        "codes": torch.randint(_CODES, (1, 1, settings.frames // 2), generator=generator),
        "text": torch.randint(1, symbols(model), (1, settings.phonemes), generator=generator),
        "refer": torch.rand(1, settings.spec_channels, settings.frames, generator=generator),
    }


def spoken(model: Any, settings: Settings, generator: torch.Generator, sentence: Inputs = codes_batch) -> Batch:
    """A `sentence`, and the speaker's features (1, channels) where this version asks for them."""
    given = sentence(model, settings, generator)
    if getattr(model, "is_v2pro", False):
        given["sv_emb"] = torch.randn(1, SPEAKER_CHANNELS, generator=generator)
    return given


def references(model: Any, settings: Settings, generator: torch.Generator, sentence: Inputs = codes_batch) -> Batch:
    """`spoken` with a second, shorter reference, where `decode` takes a list of them."""
    given = spoken(model, settings, generator, sentence)
    if "list" not in inspect.unwrap(model.decode).__code__.co_names:
        return given
    other = spoken(model, settings, generator, sentence)
    given["other_refer"] = other["refer"][..., : settings.frames * 2 // 3]
    if "sv_emb" in other:
        given["other_sv_emb"] = other["sv_emb"]
    return given


def chunk(model: Any, settings: Settings, generator: torch.Generator, sentence: Inputs = codes_batch) -> Batch:
    """`spoken`, and the end of the chunk before, (1, channels, OVERLAP)."""
    overlap = torch.randn(1, model.hidden_channels, OVERLAP, generator=generator)
    return {**spoken(model, settings, generator, sentence), "overlap_frames": overlap}


def _infer(model: Any, given: Batch) -> object:
    return model.infer(**given)


def decoded(model: Any, given: Batch, **more: Any) -> object:
    """The result of `decode`; references that are called `other_…` go into lists with those that are not."""
    asked: dict[str, Any] = {name: value for name, value in given.items() if not name.startswith("other_")}
    for name in ("refer", "sv_emb"):
        if f"other_{name}" in given:
            asked[name] = [given[name], given[f"other_{name}"]]
    return model.decode(**asked, **more)


def _decode_slowly(model: Any, given: Batch) -> object:
    return decoded(model, given, **accepted(model.decode, {"speed": _SLOW}))


def _stream(model: Any, given: Batch) -> object:
    return model.decode_streaming(**given, speed=_SPEED, result_length=RESULT, padding_length=PADDING)


def _extract(model: Any, given: Batch) -> object:
    return model.extract_latent(**given)


def _fold(model: Any) -> None:
    """Fold the weight norms, where the model is the port's."""
    fold = getattr(sys.modules.get(f"{type(model).__module__.rpartition('.')[0]}.ops"), "fold_weight_norms", None)
    if fold is not None:
        fold(model)


def _cases(version: str) -> tuple[Case, ...]:
    parts = {
        "infer": Part("models", "SynthesizerTrn", _whole, told(version, "infer"), _infer, audio="0"),
        "decode": Part("models", "SynthesizerTrn", references, told(version, "decode"), decoded, audio=""),
        "decode_folded": Part(
            "models", "SynthesizerTrn", references, told(version, "decode"), _decode_slowly, settle=_fold, audio=""
        ),
        "decode_streaming": Part(
            "models", "SynthesizerTrn", chunk, told(version, "decode_streaming", "speed"), _stream, audio="0"
        ),
        "extract_latent": Part("models", "SynthesizerTrn", _features, told(version, "extract_latent"), _extract),
    }
    return tuple(
        Case(
            f"synthesizer.{version}.{name}",
            (part,),
            training=False,
            gradients=False,
            turn=VERSIONS.index(version) % TURNS,
            turns=TURNS,
        )
        for name, part in parts.items()
    )


CASES = tuple(case for version in VERSIONS for case in _cases(version))
