"""SynthesizerTrn, the model that GPT-SoVITS trains: every part of it at once, dropout active."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from porter.validate.cases.base import Batch, Case, Unavailable, accepted, lengths, within
from porter.validate.settings import Settings

_SSL_CHANNELS = 768  # CN-HuBERT's features, two a spectrogram frame pair
_SPEAKER_CHANNELS = 20480  # ERes2NetV2's features, for the v2Pro family
_LEAST = 0.5  # the shortest sample of a batch, as a part of the bucket


def _arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    return accepted(
        constructor,
        {
            "spec_channels": settings.spec_channels,
            "segment_size": settings.segment,
            "n_speakers": settings.n_speakers,
            "version": "v2",
            **settings.model,
        },
    )


def _batch(model: nn.Module, settings: Settings, generator: torch.Generator) -> Batch:
    count, frames, phonemes = settings.batch, settings.frames, settings.phonemes
    least = max(settings.segment, int(frames * _LEAST))
    y_lengths = lengths(count, least, frames, generator)
    text_lengths = lengths(count, max(1, int(phonemes * _LEAST)), phonemes, generator)
    ssl = torch.randn(count, _SSL_CHANNELS, frames, generator=generator)
    spec = torch.rand(count, settings.spec_channels, frames, generator=generator)
    ids = torch.randint(1, _symbols(model), (count, phonemes), generator=generator)
    offered = {
        "ssl": within(ssl, y_lengths),
        "y": within(spec, y_lengths),
        "y_lengths": y_lengths,
        "text": within(ids, text_lengths),
        "text_lengths": text_lengths,
        "sv_emb": torch.randn(count, _SPEAKER_CHANNELS, generator=generator),
    }
    result = {}
    for name, parameter in inspect.signature(model.forward).parameters.items():
        needed = parameter.default is parameter.empty
        if name == "sv_emb":
            needed = bool(getattr(model, "is_v2pro", False))
        if needed and name not in offered:
            raise Unavailable(f"SynthesizerTrn.forward of this upstream asks for {name}, which no case knows")
        if needed:
            result[name] = offered[name]
    return result


def _symbols(model: nn.Module) -> int:
    """How many phoneme symbols the text encoder embeds."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            return module.num_embeddings
    raise Unavailable("SynthesizerTrn of this upstream embeds no phonemes")


CASE = Case(
    name="synthesizer",
    module="models",
    entry="SynthesizerTrn",
    arguments=_arguments,
    batch=_batch,
)
