"""The synthesizers of VITS and its relatives in training and inferring, told apart by what their signatures ask for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.budget import Allowance
from porter.validate.cases.base import Batch, Case, Part, Subjects, Unavailable, accepted, complete, lengths, within
from porter.validate.cases.base import method as method_of
from porter.validate.settings import Settings
from porter.validate.tree import PORT_PACKAGE

SYMBOLS = 100  # of texts
TONES, LANGUAGES = 5, 3
FEATURES = 1024  # of a language model, for each phoneme
PITCHES = 256  # steps of a quantized fundamental frequency
_LAYERS = 3  # the third is where some of them take in the speaker
_LEAST = 0.5  # the shortest sample of a batch, as a part of the longest
_LOWEST, _HIGHEST = 80.0, 400.0  # Hz
_ORDINALS = ("first", "second", "third", "fourth")
# Of what is not finite upstream's splines of durations take the least of nothing, and raise.
_BEYOND = ("huge", "not finite")
_SCALES: dict[str, Any] = {"noise_scale": 0.7, "length_scale": 1.7, "noise_scale_w": 0.8}  # no two alike

# What options of constructors are called in the family, beside those that all of it has.
_OPTIONS: dict[str, Any] = {
    "is_half": False,
    "vocoder_name": "nsf-hifigan",
    "gen_istft_n_fft": 16,
    "gen_istft_hop_size": 4,
    "istft_vits": True,
    "subbands": 4,
    "use_spk_conditioned_encoder": True,
    "use_transformer_flows": True,
    "transformer_flow_type": "pre_conv",
    "use_noise_scaled_mas": True,
    "mas_noise_scale": 0.01,
    "mas_noise_scale_decay": 2e-6,
    "mas_noise_scale_initial": 0.01,
    "noise_scale_delta": 2e-6,
    "n_flows": 2,
    "speaker_cond_layer": 1,
}


def arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Constructor arguments of a synthesizer of the family. Unavailable where it asks for one that is not known."""
    channels = settings.model["inter_channels"]
    offered = {
        **_OPTIONS,
        **settings.model,
        "hidden_channels": channels,  # what all of the family has alike
        "n_layers": max(_LAYERS, settings.model["n_layers"]),
        "n_vocab": SYMBOLS,
        "spec_channels": settings.spec_channels,
        "segment_size": settings.segment,
        "n_speakers": settings.n_speakers,
        "spk_embed_dim": settings.n_speakers,
        "sr": settings.sampling_rate,
        "sampling_rate": settings.sampling_rate,
        "ssl_dim": channels,
        "text_enc_hidden_dim": channels,
    }
    return complete(constructor, accepted(constructor, offered))


def batch(model: nn.Module, settings: Settings, generator: torch.Generator, method: str = "forward") -> Batch:
    """What trainers of the family hand to `forward`, or programs to `infer`.

    Unavailable where the method asks for what is not known.
    """
    # Trainers leave out samples that are shorter than a segment, and no phoneme is shorter than a frame.
    count, frames = settings.batch, max(settings.frames, settings.segment)
    phonemes = min(settings.phonemes, int(frames * _LEAST))
    y_lengths = lengths(count, max(settings.segment, int(frames * _LEAST)), frames, generator)
    x_lengths = lengths(count, max(1, int(phonemes * _LEAST)), phonemes, generator)

    def integers(most: int, *shape: int) -> Tensor:
        return torch.randint(most, (count, *shape), generator=generator)

    def floats(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator)

    offered: dict[str, Callable[[], Tensor]] = {
        "x": lambda: within(integers(SYMBOLS, phonemes), x_lengths),
        "x_lengths": lambda: x_lengths,
        "tone": lambda: within(integers(TONES, phonemes), x_lengths),
        "language": lambda: within(integers(LANGUAGES, phonemes), x_lengths),
        **dict.fromkeys(("bert", "ja_bert", "en_bert"), lambda: floats(FEATURES, phonemes) - 0.5),
        "emo": lambda: floats(FEATURES) - 0.5,
        **dict.fromkeys(("y", "spec"), lambda: within(floats(settings.spec_channels, frames), y_lengths)),
        **dict.fromkeys(("y_lengths", "spec_lengths", "c_lengths", "phone_lengths"), lambda: y_lengths),
        **dict.fromkeys(("sid", "ds"), lambda: integers(settings.n_speakers)),
        "g": lambda: integers(settings.n_speakers, 1),
        "c": lambda: within(floats(settings.model["inter_channels"], frames) - 0.5, y_lengths),
        "phone": lambda: floats(frames, _widest(model)) - 0.5,
        "pitch": lambda: within(integers(PITCHES, frames), y_lengths),
        **dict.fromkeys(
            ("pitchf", "nsff0", "f0"), lambda: within(_LOWEST + floats(frames) * (_HIGHEST - _LOWEST), y_lengths)
        ),
        "uv": lambda: integers(2, frames).float(),
    }
    result = {}
    for name, parameter in inspect.signature(getattr(model, method)).parameters.items():
        if name in offered:
            result[name] = offered[name]()
        elif parameter.default is parameter.empty:
            raise Unavailable(f"{type(model).__name__}.{method} of this upstream asks for {name}, which no case knows")
    return result


def _widest(model: nn.Module) -> int:
    """How many features the widest linear layer takes: that of a phoneme. Unavailable where there is none."""
    found = [module.in_features for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise Unavailable(f"{type(model).__name__} of this upstream takes no features")
    return max(found)


def _inferring(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    method_of(constructor, "infer")
    return arguments(constructor, settings)


def _one(model: nn.Module, settings: Settings, generator: torch.Generator) -> Batch:
    """A text, or the features of one sound."""
    return batch(model, replace(settings, batch=1), generator, "infer")


@torch.no_grad()  # as the programs of the family call it
def _infer(model: Any, given: Batch) -> object:
    """The sound, of a package of ours by its own way to pad what predicts its durations."""
    scales = accepted(model.infer, _SCALES)
    durations = _padding(model) if {"x", "x_lengths"} <= given.keys() else None
    if durations is None:
        return model.infer(**given, **scales)
    return durations.infer(model, **{name: value.cpu() for name, value in given.items()}, **scales)


def _padding(model: Any) -> Any:
    """The module that pads, of the package that a model is of; None for upstream's, and a package without one."""
    package = ".".join(type(model).__module__.split(".")[: PORT_PACKAGE.count(".") + 1])
    if package != PORT_PACKAGE:
        return None
    try:
        return getattr(importlib.import_module(f"{package}.decoding"), "durations", None)
    except ModuleNotFoundError:
        return None


def _allowance(model: Subjects) -> Allowance:
    # How many frames a text becomes is read, once, and decides on the bucket; results are cut on the host; the judge
    # has the text on the device.
    return Allowance(fetched=12, sent=24, sized=1)


_TRAINING = tuple(
    Case(
        f"vits.{ordinal}",
        left_out=_BEYOND,
        parts=(
            Part(
                "models",
                f"Synthesizer*[{number}]",
                batch,
                arguments,
                label="synthesizer",
                constant=("y", "spec", "c", "phone", "pitchf", "f0", "uv", "bert", "ja_bert", "en_bert", "emo"),
                audio="0",  # the decoded segment
            ),
        ),
    )
    for number, ordinal in enumerate(_ORDINALS)
)
_INFERRING = tuple(
    Case(
        f"vits.infer.{ordinal}",
        (Part("models", f"Synthesizer*[{number}]", _one, _inferring, _infer, label="synthesizer", audio="0"),),
        training=False,
        gradients=False,
        allowance=_allowance,
    )
    for number, ordinal in enumerate(_ORDINALS)
)
CASES = (*_TRAINING, *_INFERRING)
