"""What a chain of convolutions is, each followed by a leaky ReLU, and how its signals and weights lie in memory."""

import math
from dataclasses import dataclass
from typing import Literal

from . import rows

_ROWS = 128  # of a result that are worked on at a time, at most
WIDTH = 128  # lanes of a register; only rows of that width can be read with a stride

# How a weight lies in HBM: [taps, C (out), C (in)]; [C (out), taps, 1, C (in)], as a TPU keeps that of columns; or that
# of groups [taps, C (in) of a group, C (out)], the second in whole registers.
Form = Literal["taps", "columns", "groups"]


@dataclass(frozen=True)
class Layer:
    """A convolution of columns."""

    given: int  # channels
    gives: int
    time: int  # of a column of its result
    offsets: tuple[int, ...]  # where the taps are, from `stride` times a result's row
    stride: int
    groups: int
    form: Form
    normed: bool  # whether the weight has a norm

    @property
    def dilation(self) -> int:
        """How far apart taps are: all alike."""
        return self.offsets[1] - self.offsets[0] if len(self.offsets) > 1 else 1

    @property
    def blocks(self) -> int:
        """Registers of channels that are convolved alone, since no group reaches into another."""
        return 1 if self.groups == 1 else lanes_of(self.given) // WIDTH

    @property
    def lanes(self) -> tuple[int, int]:
        """Channels that it is given, and gives, in whole registers."""
        return lanes_of(self.given), lanes_of(self.gives)

    @property
    def matrix(self) -> tuple[int, int, int]:
        """The shape of its weight in VMEM: [taps, C (out), C (in) of a block]."""
        given, gives = self.lanes
        return len(self.offsets), gives, given // self.blocks

    @property
    def stored(self) -> tuple[int, ...]:
        """The same in HBM."""
        taps, out, given = self.matrix
        if self.form == "groups":
            return taps, -(-self.given // self.groups // rows.SUBLANES) * rows.SUBLANES, out
        return (taps, out, given) if self.form == "taps" else (out, taps, 1, given)


@dataclass(frozen=True)
class Plan:
    """A chain of layers."""

    batch: int
    columns: int
    time: int  # of a column
    layers: tuple[Layer, ...]
    slope: float
    held: str  # the dtype of the signal that is given
    dtype: str  # of products and results
    precise: bool
    sided: bool = False  # whether the sides of all leaky ReLUs are given, as one more signal a layer: 1 or 0
    flowing: tuple[bool, ...] = ()  # whether each result has a gradient of its own; () where all have one

    @property
    def times(self) -> tuple[int, ...]:
        """How long a column is before each layer, and at the end."""
        return (self.time, *(layer.time for layer in self.layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before each layer, and at the end."""
        return (self.layers[0].given, *(layer.gives for layer in self.layers))

    @property
    def channels(self) -> tuple[int, ...]:
        """The same in whole registers."""
        return tuple(map(lanes_of, self.widths))

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """What each signal of one sample is in HBM."""
        return tuple(
            (self.columns, width, -(-time // WIDTH) * WIDTH) if width < WIDTH else (self.columns, time, width)
            for time, width in zip(self.times, self.widths, strict=True)
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """How many rows there are before each layer, and at the end, for one row at the end."""
        found = [1]
        for layer in reversed(self.layers):
            found.append(found[-1] * layer.stride)
        return tuple(reversed(found))

    @property
    def room(self) -> tuple[int, ...]:
        """Rows of a column and the zeros after it, before each layer, and at the end."""
        reach = [*map(_reach, self.layers, self.times), 0]
        last = max(-(-(t + r) // s) for t, r, s in zip(self.times, reach, self.strides, strict=True))
        return tuple(last * stride for stride in self.strides)

    @property
    def part(self) -> int:
        """Rows of a result that are worked on at a time."""
        last = self.columns * self.room[-1]
        parts = -(-last // _ROWS)
        return -(-last // (parts * rows.SUBLANES)) * rows.SUBLANES

    @property
    def lengths(self) -> tuple[int, ...]:
        """Rows of all columns, before each layer, and at the end."""
        last = -(-self.columns * self.room[-1] // self.part) * self.part
        return tuple(last * stride for stride in self.strides)

    @property
    def halo(self) -> int:
        """Rows of zeros before and after a signal: as many as any taps reach, and a part of their result does."""
        most = max(abs(offset) for layer in self.layers for offset in layer.offsets)
        return -(-(most + 1) // rows.SUBLANES) * rows.SUBLANES

    @property
    def flows(self) -> tuple[bool, ...]:
        """Whether each result has a gradient of its own."""
        return self.flowing or (True,) * len(self.layers)

    @property
    def memory(self) -> int:
        """Bytes of VMEM that the larger of the two kernels takes."""
        blocks = [columns * rows.stored(*shape) for columns, *shape in self.blocks]
        # Those of a batch come and go while another is worked on: signal and gradient; results, gradients, sides.
        held = 4 * blocks[0] + (4 + 2 * self.sided) * sum(blocks[1:])
        held += sum(_size_of(shape) for shape in (*strips(self)[:-1], *strips(self)[1:]))
        for layer in self.layers:
            taps, *matrix = layer.matrix
            held += 2 * taps * rows.stored(*matrix) + 4 * rows.stored(matrix[0], 1)
            if layer.form == "groups":
                held += 4 * _size_of(layer.stored)
        return held

    def of_batch(self, *, backward: bool) -> rows.OfBatch:
        """Which arguments and results of a kernel have the batch as their first axis."""
        count = len(self.layers)
        sides = [True] * (count * self.sided)
        if backward:
            given = [True] * (1 + count + sum(self.flows)) + [False] * 3 * count
            return [*given, *sides], [True] + [False] * 3 * count
        return [True, *[False] * 3 * count, *sides], [True] * count


def misfit(plan: Plan, capacity: int) -> str:
    """Why the kernels cannot be had with `capacity` bytes of VMEM, in a clause; "" where they can."""
    return rows.too_large(plan.memory, capacity * 7 // 8)


def lanes_of(channels: int) -> int:
    """Lanes of whole registers."""
    return -(-channels // WIDTH) * WIDTH


def _reach(layer: Layer, time: int) -> int:
    """How many rows before or after a column of `time` rows a layer reads."""
    return max(0, -min(layer.offsets), (layer.time - 1) * layer.stride + max(layer.offsets) - (time - 1))


def strips(plan: Plan) -> list[tuple[int, int, int]]:
    """Shapes of all signals between zeros, in strips; those of few channels are read beyond their end."""
    return [
        (lanes // WIDTH, count + 2 * plan.halo + WIDTH * (width < WIDTH), WIDTH)
        for count, lanes, width in zip(plan.lengths, plan.channels, plan.widths, strict=True)
    ]


def _size_of(shape: tuple[int, ...]) -> int:
    """Bytes of whole registers of float32."""
    return 4 * math.prod(shape)
