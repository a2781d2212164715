"""What the grammar knows of a value: its type and, of a tensor, its dtype and the names of its sizes."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[str, ...]

# Sizes that inputs have. The channels are the same in all inputs, since parameters are made for them.
BATCH, CHANNELS, TIME = "B", "C", "T"
WIDTH = 4
SIGNAL: Shape = (BATCH, CHANNELS, TIME)
ROWS: Shape = (BATCH, TIME)
SAMPLES: Shape = (BATCH,)
SCALAR: Shape = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; sizes are names of axes, numbers, or `?` where nobody knows."""

    dtype: str = "float32"
    shape: Shape = SIGNAL


@dataclass(frozen=True, slots=True)
class Plain:
    """A Python value: `int`, `float`, `bool`, `str`."""

    type: str


@dataclass(frozen=True, slots=True)
class Many:
    """A list of values of one kind, not empty."""

    item: Kind


@dataclass(frozen=True, slots=True)
class Other:
    """Something that can only be returned or printed."""


Kind = Tensor | Plain | Many | Other


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a program's entry: its name, kind, and what its numbers are like."""

    name: str
    kind: Kind
    like: str = ""  # `lengths`, `starts` or `labels`; of floats, `grad` asks for gradients
