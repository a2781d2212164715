"""The losses of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, lengths, mask_of
from porter.validate.settings import Settings

_LAYERS = 3  # discriminators, and layers of each
_CHANNELS = 8


def _scores(*sides: str) -> Callable[[Any, Settings, torch.Generator], Batch]:
    """Scores of several discriminators for each side, (batch, positions)."""

    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        return {
            f"{side}{index}": torch.randn(settings.batch, settings.frames - index, generator=generator)
            for side in sides
            for index in range(_LAYERS)
        }

    return inputs


def _layers(inputs: Batch, side: str) -> list[torch.Tensor]:
    return [inputs[f"{side}{index}"] for index in range(_LAYERS)]


def _features(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, _CHANNELS, settings.frames)
    return {
        f"{side}{index}": torch.randn(shape, generator=generator)
        for side in ("real", "made")
        for index in range(_LAYERS)
    }


def _latents(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, _CHANNELS, settings.frames)
    named = {name: torch.randn(shape, generator=generator) for name in ("z_p", "logs_q", "m_p", "logs_p")}
    ends = lengths(settings.batch, settings.frames // 2, settings.frames, generator)
    return {**named, "z_mask": mask_of(ends, settings.frames)}


def _likelihood(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, _CHANNELS, settings.frames)
    named = {name: torch.randn(shape, generator=generator) for name in ("z", "m", "logs")}
    ends = lengths(settings.batch, settings.frames // 2, settings.frames, generator)
    return {
        **named,
        "logdet": torch.randn(settings.batch, generator=generator),
        "mask": torch.ones(shape) * mask_of(ends, settings.frames),
    }


CASES = (
    Case(
        "losses",
        (
            Part(
                "losses",
                "feature_loss",
                _features,
                call=lambda loss, given: loss([_layers(given, "real")], [_layers(given, "made")]),
            ),
            Part(
                "losses",
                "discriminator_loss",
                _scores("real", "made"),
                call=lambda loss, given: loss(_layers(given, "real"), _layers(given, "made")),
            ),
            Part("losses", "generator_loss", _scores("made"), call=lambda loss, given: loss(_layers(given, "made"))),
            Part("losses", "kl_loss", _latents, constant=("z_mask",)),
            Part("losses", "mle_loss", _likelihood, constant=("mask",)),
        ),
    ),
)
