"""The flow and the convolutional encoders of SynthesizerTrn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, lengths, mask_of
from porter.validate.settings import Settings


def _arguments(layers: int) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments as SynthesizerTrn has them, but no two alike, with so many layers in full size."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        width = settings.model["inter_channels"]
        return accepted(
            constructor,
            {
                "channels": width,
                "in_channels": settings.spec_channels,
                "out_channels": width + 4,
                "hidden_channels": width + 8,
                "kernel_size": 5,
                "dilation_rate": 1,
                "n_layers": settings.sized(layers, 2),
                "n_flows": settings.sized(4, 2),
                "gin_channels": settings.model["gin_channels"],
            },
        )

    return told


def _latents(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Latents x (batch, channels, frames), their mask, and the style g (batch, channels, 1)."""
    count, size = settings.batch, settings.frames
    ends = lengths(count, size // 2, size, generator)
    return {
        "x": torch.randn(count, model.channels, size, generator=generator),
        "x_mask": mask_of(ends, size),
        "g": torch.randn(count, settings.model["gin_channels"], 1, generator=generator),
    }


def _spectrogram(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """A spectrogram x (batch, channels, frames), its lengths, and the style g (batch, channels, 1)."""
    count, size = settings.batch, settings.frames
    return {
        "x": torch.rand(count, model.in_channels, size, generator=generator),
        "x_lengths": lengths(count, size // 2, size, generator),
        "g": torch.randn(count, settings.model["gin_channels"], 1, generator=generator),
    }


def _reverse(model: Any, given: Batch) -> object:
    return model(**given, reverse=True)


_COUPLING = _arguments(4)
_LAYERS = _arguments(16)

CASES = (
    Case("coupling.forward", (Part("models", "ResidualCouplingBlock", _latents, _COUPLING, constant=("x_mask",)),)),
    Case(
        "coupling.reverse",
        (Part("models", "ResidualCouplingBlock", _latents, _COUPLING, call=_reverse, constant=("x_mask",)),),
    ),
    Case("posterior", (Part("models", "PosteriorEncoder", _spectrogram, _LAYERS),)),
    Case(
        "encoders",
        (
            Part("models", "Encoder", _spectrogram, _LAYERS),
            Part("models", "WNEncoder", _spectrogram, _LAYERS),
        ),
    ),
)
