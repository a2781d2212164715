"""Inputs of a program: what each parameter gets, made anew for every call."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch

from .kinds import BATCH, CHANNELS, TIME, WIDTH, Many, Parameter, Plain, Tensor

_SPECIAL = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e9, -1e9, 16777217.0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one set of inputs."""

    batch: int
    time: int

    def of(self, axis: str) -> int:
        """The size that the name of an axis means."""
        return {BATCH: self.batch, CHANNELS: WIDTH, TIME: self.time}.get(axis) or (
            0 if axis in (BATCH, CHANNELS, TIME) else int(axis)
        )


def draw_sizes(rng: Random) -> Sizes:
    """Small sizes; now and then a batch of one, of none, or a single frame."""
    batch = rng.choice((1, 2, 2, 2, 3, 3)) if rng.random() < 0.98 else 0
    return Sizes(batch, rng.choice((5, 6, 7, 8, 9)) if rng.random() < 0.97 else rng.choice((0, 1)))


def make(parameter: Parameter, sizes: Sizes, rng: Random) -> object:
    """A value for a parameter; the same for the same state of `rng`."""
    kind = parameter.kind
    if isinstance(kind, Many):
        return [make(Parameter("", kind.item, parameter.like), sizes, rng) for _ in range(rng.choice((1, 2, 3)))]
    if isinstance(kind, Plain):
        return _plain(kind.type, rng)
    assert isinstance(kind, Tensor)
    shape = [sizes.of(axis) for axis in kind.shape]
    count = 1
    for size in shape:
        count *= size
    values = torch.tensor(_numbers(kind.dtype, parameter.like, count, sizes, rng), dtype=getattr(torch, kind.dtype))
    made = values.reshape(shape)
    return made.requires_grad_() if parameter.like == "grad" and made.is_floating_point() else made


def _plain(name: str, rng: Random) -> object:
    if name == "bool":
        return rng.random() < 0.5
    if name == "int":
        return rng.choice((1, 2, 3, 3))
    return rng.choice((0.5, 1.0, 2.5, -1.25)) if name == "float" else rng.choice(("sum", "mean", "max"))


def _numbers(dtype: str, like: str, count: int, sizes: Sizes, rng: Random) -> list[float] | list[int] | list[bool]:
    if dtype == "bool":
        share = rng.choice((0.0, 0.3, 0.6, 1.0))
        return [rng.random() < share for _ in range(count)]
    if dtype.startswith("int"):
        highest = {"lengths": sizes.time, "starts": max(sizes.time - 3, 0)}.get(like, WIDTH - 1)
        return [rng.randint(min(1, highest) if like == "lengths" else 0, highest) for _ in range(count)]
    spread = rng.choice((1.0, 1.0, 3.0))
    numbers = [(rng.random() * 2 - 1) * spread for _ in range(count)]
    if count and rng.random() < 0.15:
        numbers[rng.randrange(count)] = rng.choice(_SPECIAL)
    return numbers
