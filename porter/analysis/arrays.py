"""Small arrays of integers that move as torch's tensors do, to try out what a function does with positions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import EllipsisType

Axis = int | slice | EllipsisType | None


class ShapeError(Exception):
    """Shapes that do not fit: torch would raise too."""


@dataclass(frozen=True, slots=True)
class Array:
    """Integers in row-major order, and the shape they have."""

    shape: tuple[int, ...]
    data: tuple[int, ...]

    @classmethod
    def of(cls, shape: Sequence[int], number: Callable[[tuple[int, ...]], int]) -> Array:
        """What a function gives for each place."""
        return cls(tuple(shape), tuple(map(number, itertools.product(*map(range, shape)))))

    def reshape(self, sizes: Sequence[int]) -> Array:
        """The same numbers in another shape; one size may be -1. ShapeError if their count differs."""
        known = math.prod(n for n in sizes if n != -1)
        if list(sizes).count(-1) == 1 and known > 0:
            sizes = [len(self.data) // known if n == -1 else n for n in sizes]
        if min(sizes, default=0) < 0 or math.prod(sizes) != len(self.data):
            raise ShapeError(f"{list(self.shape)} as {list(sizes)}")
        return Array(tuple(sizes), self.data)

    def permute(self, axes: Sequence[int]) -> Array:
        """The axes in another order."""
        order = [self.axis(a) for a in axes]
        if sorted(order) != list(range(len(self.shape))):
            raise ShapeError(f"axes {list(axes)} of {list(self.shape)}")
        inner = self._steps()
        shape, steps = [self.shape[a] for a in order], [inner[a] for a in order]
        return self._pick([[i * step for i in range(n)] for n, step in zip(shape, steps, strict=True)], shape)

    def transpose(self, a: int, b: int) -> Array:
        """Two axes swapped."""
        order = list(range(len(self.shape)))
        a, b = self.axis(a), self.axis(b)
        order[a], order[b] = b, a
        return self.permute(order)

    def unsqueeze(self, axis: int) -> Array:
        """With an axis of length 1 before `axis`."""
        at = self.axis(axis, len(self.shape) + 1)
        return Array((*self.shape[:at], 1, *self.shape[at:]), self.data)

    def squeeze(self, axis: int) -> Array:
        """Without `axis`, if its length is 1."""
        at = self.axis(axis)
        return self if self.shape[at] != 1 else Array((*self.shape[:at], *self.shape[at + 1 :]), self.data)

    def index(self, axes: Sequence[Axis]) -> Array:
        """As `tensor[axes]`: integers, slices that go forward, None for a new axis, one ellipsis."""
        read = sum(isinstance(a, int | slice) for a in axes)
        if read > len(self.shape) or sum(a is Ellipsis for a in axes) > 1:
            raise ShapeError(f"{read} indices of {list(self.shape)}")
        at = next((i for i, a in enumerate(axes) if a is Ellipsis), len(axes))
        rest = [slice(None)] * (len(self.shape) - read)
        wanted = [*axes[:at], *rest, *axes[at + 1 :]]
        shape: list[int] = []
        places: list[list[int]] = []
        left = iter(zip(self.shape, self._steps(), strict=True))
        for axis in wanted:
            if not isinstance(axis, int | slice):
                shape.append(1)
                continue
            size, step = next(left)
            if isinstance(axis, slice):
                places.append([i * step for i in range(*axis.indices(size))])
                shape.append(len(places[-1]))
            elif -size <= axis < size:
                places.append([axis % size * step])
            else:
                raise ShapeError(f"index {axis} of {size}")
        return self._pick(places, shape)

    def pad(self, widths: Sequence[int]) -> Array:
        """Zeros around, (before, after) for each axis from the last one on, as `F.pad` takes them."""
        if len(widths) % 2 or len(widths) > 2 * len(self.shape) or min(widths, default=0) < 0:
            raise ShapeError(f"widths {list(widths)} around {list(self.shape)}")
        around = [(0, 0)] * (len(self.shape) - len(widths) // 2)
        around += [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]
        places = [
            [-1] * before + [i * step for i in range(n)] + [-1] * after
            for n, step, (before, after) in zip(self.shape, self._steps(), around, strict=True)
        ]
        return self._pick(places, [len(p) for p in places])

    def matmul(self, other: Array) -> Array:
        """Products of matrices in the last two axes; the axes before them are stretched to each other."""
        if len(self.shape) < 2 or len(other.shape) < 2 or self.shape[-1] != other.shape[-2]:
            raise ShapeError(f"{list(self.shape)} times {list(other.shape)}")
        before = max(len(self.shape), len(other.shape)) - 2
        a, b = self._widened(before), other._widened(before)
        batch = [max(m, n) for m, n in zip(a.shape[:-2], b.shape[:-2], strict=True)]
        if any(m not in (1, n) for one in (a, b) for m, n in zip(one.shape[:-2], batch, strict=True)):
            raise ShapeError(f"{list(self.shape)} times {list(other.shape)}")
        rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        found: list[int] = []
        for place in itertools.product(*map(range, batch)):
            left, right = a._matrix(place), b._matrix(place)
            for i, j in itertools.product(range(rows), range(columns)):
                found.append(sum(left[i * inner + k] * right[k * columns + j] for k in range(inner)))
        return Array((*batch, rows, columns), tuple(found))

    def axis(self, axis: int, count: int | None = None) -> int:
        """An axis counted from the first one; ShapeError if there is none such."""
        count = len(self.shape) if count is None else count
        if not -count <= axis < count:
            raise ShapeError(f"axis {axis} of {count}")
        return axis % count

    def _steps(self) -> list[int]:
        """How far apart neighbours along each axis are."""
        return [math.prod(self.shape[i + 1 :]) for i in range(len(self.shape))]

    def _pick(self, places: Sequence[Iterable[int]], shape: Sequence[int]) -> Array:
        """Numbers by their place along each axis; 0 where one is negative."""
        found = (0 if min(p, default=0) < 0 else self.data[sum(p)] for p in itertools.product(*places))
        return Array(tuple(shape), tuple(found))

    def _widened(self, before: int) -> Array:
        missing = before + 2 - len(self.shape)
        return Array((1,) * missing + self.shape, self.data)

    def _matrix(self, place: Sequence[int]) -> tuple[int, ...]:
        steps = self._steps()
        start = sum(i * step for i, step, n in zip(place, steps, self.shape, strict=False) if n != 1)
        return self.data[start : start + self.shape[-2] * self.shape[-1]]
