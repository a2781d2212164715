"""Inputs and constructor arguments in a few words: sizes by name, lengths that vary under one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.cases.base import Batch, Part, accepted, lengths, mask_of
from porter.validate.settings import Settings

Inputs = Callable[[Any, Settings, torch.Generator], Batch]
Arguments = Callable[[Callable[..., Any], Settings], dict[str, Any]]
Size = int | str  # a number, or the name of one: width, frames or phonemes


def width(settings: Settings) -> int:
    """Channels of a block."""
    return int(settings.model["inter_channels"])


def size(settings: Settings, told: Size) -> int:
    """What a size stands for."""
    named = {"width": width(settings), "frames": settings.frames, "phonemes": settings.phonemes}
    return told if isinstance(told, int) else named[told]


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal noise."""
    return torch.randn(shape, generator=generator)


def drawn(mask: str = "", **shapes: tuple[Size, ...]) -> Inputs:
    """Standard normal inputs (batch, *shape) by name; and, where one is named, a mask (batch, 1, frames)."""

    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        batch = {
            name: normal(generator, settings.batch, *(size(settings, told) for told in shape))
            for name, shape in shapes.items()
        }
        return {**batch, mask: varying_mask(settings, generator)} if mask else batch

    return inputs


def varying_mask(settings: Settings, generator: torch.Generator, total: Size = "frames") -> Tensor:
    """(batch, 1, total) of 1.0 up to a random half to all of it, then 0.0."""
    most = size(settings, total)
    return mask_of(lengths(settings.batch, most // 2, most, generator), most)


def nothing(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """No inputs."""
    return {}


def built(offer: Callable[[Settings], Mapping[str, Any]]) -> Arguments:
    """Constructor arguments that depend on the settings: those offered that the class takes."""
    return lambda entry, settings: accepted(entry, offer(settings))


def judges_own(
    network: Callable[[Any], type[nn.Module]],
    label: str,
    inputs: Inputs,
    constant: tuple[str, ...] = (),
    call: Callable[[Any, Batch], object] = lambda subject, inputs: subject(**inputs),
    **given: Any,
) -> Part:
    """A network of the judge's own, of which `network` makes the class of one side's operations."""
    return Part(
        "ops",
        network.__name__,
        inputs,
        lambda entry, settings: given,
        call,
        label=label,
        constant=constant,
        network=network,
    )
