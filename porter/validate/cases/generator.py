"""Generator, the decoder from latents to audio, with weight norm and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, method
from porter.validate.settings import Settings


def _arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    offered = {**settings.model, "initial_channel": settings.model["inter_channels"]}
    if len(offered["resblock_kernel_sizes"]) == 1:  # a mean of one block says nothing about the mean
        offered |= {"resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3, 5]] * 2}
    return accepted(constructor, offered)


def _removable(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    method(constructor, "remove_weight_norm")
    return _arguments(constructor, settings)


def _inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Latents x (batch, channels, frames of a segment) and the style g (batch, channels, 1)."""
    shape = (settings.batch, settings.model["inter_channels"], settings.segment)
    return {
        "x": torch.randn(shape, generator=generator),
        "g": torch.randn(settings.batch, settings.model["gin_channels"], 1, generator=generator),
    }


def _remove(model: Any) -> None:
    model.remove_weight_norm()


CASES = (
    Case("generator.plain", (Part("models", "Generator", _inputs, _arguments, audio=""),)),
    Case(
        "generator.without_weight_norm", (Part("models", "Generator", _inputs, _removable, finish=_remove, audio=""),)
    ),
)
