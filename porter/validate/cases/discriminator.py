"""MultiPeriodDiscriminator on real and generated audio, with the gradient that the generator gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, require
from porter.validate.settings import Settings

_PERIOD = 3
_OFFSET = 0.1


def _arguments(version: str) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments for a version. Unavailable where the class knows none but the first."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        if version != "v2":
            require(constructor, "version")
        return accepted(constructor, {"use_spectral_norm": _spectral(settings), "version": version})

    return told


def _member(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    return accepted(constructor, {"period": _PERIOD, "use_spectral_norm": not _spectral(settings)})


def _spectral(settings: Settings) -> bool:
    return bool(settings.model.get("use_spectral_norm", False))


def _audio(count: int, settings: Settings, generator: torch.Generator) -> torch.Tensor:
    """(count, 1, samples) in -1 … 1."""
    return torch.rand((count, 1, settings.sized(settings.samples, settings.samples // 4)), generator=generator) * 2 - 1


def _pair(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {name: _audio(settings.batch, settings, generator) for name in ("y", "y_hat")}


def _one(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": _audio(1, settings, generator)}


@torch.no_grad()
def _move(model: Any) -> None:
    """Move the scores away from zero: near it they are what is left when thousands of terms cancel, mostly rounding."""
    for name, parameter in model.named_parameters():
        if name.endswith("conv_post.bias"):
            parameter.add_(_OFFSET)


CASES = (
    *(
        Case(
            f"discriminator.{version}",
            (Part("models", "MultiPeriodDiscriminator", _pair, _arguments(version), finish=_move, constant=("y",)),),
            turn=turn,
            turns=2,
        )
        for turn, version in enumerate(("v2", "v2Pro"))
    ),
    Case(
        "discriminator.other_norm",
        (
            Part("models", "DiscriminatorS", _one, _member, finish=_move),
            Part("models", "DiscriminatorP", _one, _member, finish=_move),
        ),
    ),
)
