"""The duration predictors of VITS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, lengths, mask_of
from porter.validate.cases.shapes import Inputs
from porter.validate.settings import Settings

_LONGEST = 6  # frames that one phoneme lasts


def _arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    width = settings.model["inter_channels"]
    return accepted(
        constructor,
        {
            "in_channels": width,
            "filter_channels": width,
            "kernel_size": settings.model["kernel_size"],
            "p_dropout": 0.5,
            "n_flows": settings.sized(4, 2),
            "gin_channels": settings.model["gin_channels"],
        },
    )


def _phonemes(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Encoded phonemes x (batch, channels, phonemes), their mask, and the style g (batch, channels, 1)."""
    count, size = settings.batch, settings.phonemes
    ends = lengths(count, size // 2, size, generator)
    return {
        "x": torch.randn(count, model.in_channels, size, generator=generator),
        "x_mask": mask_of(ends, size),
        "g": torch.randn(count, settings.model["gin_channels"], 1, generator=generator),
    }


def _durations(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Phonemes, and how many frames w (batch, 1, phonemes) each lasts."""
    given = _phonemes(model, settings, generator)
    shape = (settings.batch, 1, settings.phonemes)
    frames = torch.randint(1, _LONGEST + 1, shape, generator=generator)
    return {**given, "w": frames * given["x_mask"]}


def _without_style(given: Inputs) -> Inputs:
    def inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
        return {name: value for name, value in given(model, settings, generator).items() if name != "g"}

    return inputs


def _unconditioned(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    return {**_arguments(constructor, settings), **accepted(constructor, {"gin_channels": 0})}


def _parts(name: str, given: Inputs, **more: Any) -> tuple[Part, Part]:
    """A predictor with a style and without one."""
    plain = _without_style(given)
    return (
        Part("models", name, given, _arguments, **more),
        Part("models", name, plain, _unconditioned, label=f"{name} without style", **more),
    )


def _reverse(model: Any, given: Batch) -> object:
    return model(**given, reverse=True, noise_scale=0.8)


# Upstream refuses a spline of which no input is inside its interval; the port takes what is inside, which is nothing.
_BEYOND = ("huge", "not finite")

CASES = (
    Case(
        "duration.stochastic",
        (Part("models", "StochasticDurationPredictor", _durations, _arguments, constant=("x_mask",)),),
        left_out=_BEYOND,
    ),
    Case(
        "duration.stochastic.reverse",
        _parts("StochasticDurationPredictor", _phonemes, call=_reverse),
        training=False,
        gradients=False,
    ),
    Case("duration.plain", _parts("DurationPredictor", _phonemes, constant=("x_mask",))),
)
