"""SynthesizerTrn, the model that GPT-SoVITS trains: every part of it at once, dropout active."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from porter.validate.cases.base import Batch, Case, Part, Unavailable, accepted, complete, lengths, within
from porter.validate.settings import Settings

SSL_CHANNELS = 768  # CN-HuBERT's features
SPEAKER_CHANNELS = 20480  # ERes2NetV2's features, for the v2Pro family
TURNS = 2  # v1 and v2 share their variations, and v2Pro and v2ProPlus, which an older upstream lacks
VERSIONS = ("v1", "v2", "v2Pro", "v2ProPlus")
LEAST = 0.5  # the shortest sample of a batch, as a part of the bucket


def arguments(version: str) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments of SynthesizerTrn for one of upstream's versions. Unavailable where it knows none."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        wide = version in ("v2Pro", "v2ProPlus")
        if wide and not _knows(constructor, version):
            raise Unavailable(f"models.py of this upstream knows no {version}")
        offered = {
            "spec_channels": settings.spec_channels,
            "segment_size": settings.segment,
            "n_speakers": settings.n_speakers,
            "version": version,
            **settings.model,
            **({"gin_channels": 1024} if wide else {}),
            **settings.versions.get(version, {}),
        }
        return complete(constructor, accepted(constructor, offered))

    return told


def _knows(constructor: Callable[..., Any], version: str) -> bool:
    """Whether a model's constructor asks for a version by name."""
    module = inspect.getmodule(constructor)
    return module is not None and f'"{version}"' in inspect.getsource(module).replace("'", '"')


def training_batch(model: nn.Module, settings: Settings, generator: torch.Generator, method: str = "forward") -> Batch:
    """What upstream's trainer hands to `forward`, as far as `method` of this model asks for it."""
    count, frames, phonemes = settings.batch, settings.frames, settings.phonemes
    least = max(settings.segment, int(frames * LEAST))
    y_lengths = lengths(count, least, frames, generator)
    text_lengths = lengths(count, max(1, int(phonemes * LEAST)), phonemes, generator)
    ssl = torch.randn(count, SSL_CHANNELS, frames, generator=generator)
    spec = torch.rand(count, settings.spec_channels, frames, generator=generator)
    ids = torch.randint(1, symbols(model), (count, phonemes), generator=generator)
    offered = {
        "ssl": within(ssl, y_lengths),
        "y": within(spec, y_lengths),
        "y_lengths": y_lengths,
        "text": within(ids, text_lengths),
        "text_lengths": text_lengths,
        "sv_emb": torch.randn(count, SPEAKER_CHANNELS, generator=generator),
    }
    result = {}
    for name, parameter in inspect.signature(getattr(model, method)).parameters.items():
        needed = parameter.default is parameter.empty
        if name == "sv_emb":
            needed = bool(getattr(model, "is_v2pro", False))
        if needed and name not in offered:
            raise Unavailable(f"SynthesizerTrn.{method} of this upstream asks for {name}, which no case knows")
        if needed:
            result[name] = offered[name]
    return result


def symbols(model: nn.Module) -> int:
    """How many phoneme symbols the text encoder embeds."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            return module.num_embeddings
    raise Unavailable("this upstream's model embeds no phonemes")


CASES = tuple(
    Case(
        f"synthesizer.{version}.forward",
        (
            Part(
                "models",
                "SynthesizerTrn",
                training_batch,
                arguments(version),
                constant=("ssl", "y", "sv_emb"),
                audio="0",  # the decoded segment
            ),
        ),
        turn=turn % TURNS,
        left_out=("shortest",),  # of less than a segment upstream cuts one, or fails, as the draw has it
        turns=TURNS,
    )
    for turn, version in enumerate(VERSIONS)
)
