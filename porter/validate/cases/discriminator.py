"""MultiPeriodDiscriminator on real and generated audio, with the gradient that the generator gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted
from porter.validate.settings import Settings


def _arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    spectral = bool(settings.model.get("use_spectral_norm", False))
    return accepted(constructor, {"use_spectral_norm": spectral, "version": "v2"})


def _inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, 1, settings.samples)
    return {
        "y": torch.rand(shape, generator=generator) * 2 - 1,
        "y_hat": torch.rand(shape, generator=generator) * 2 - 1,
    }


CASES = (Case("discriminator", (Part("models", "MultiPeriodDiscriminator", _inputs, _arguments, constant=("y",)),)),)
