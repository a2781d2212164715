"""Which elements of a tensor another one consists of, however they were moved: padded, reshaped, transposed or cut."""

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
_LARGEST = 1 << 25  # places that are computed with


@dataclass(frozen=True)
class Move:
    """Places in a source, of which some axes, the first ones, are as they were in the source.

    `places` [*shape[kept:]] has the place of each element among those of source[kept:], -1 for a zero.
    """

    source: tuple[int, ...]  # shape
    shape: tuple[int, ...]
    kept: int
    places: Places

    def reshaped(self, shape: Sequence[int]) -> "Move":
        """In another shape of as many elements."""
        own = self._of_common(shape)
        return own._with(tuple(shape), own.places.reshape(tuple(shape[own.kept :])))

    def permuted(self, dims: Sequence[int]) -> "Move":
        """With its axes in another order."""
        count = next((i for i, dim in enumerate(dims) if i != dim), len(dims))
        own = self.lowered(count)
        return own._with(
            tuple(own.shape[dim] for dim in dims), own.places.transpose([dim - own.kept for dim in dims[own.kept :]])
        )

    def cut(self, dim: int, part: slice) -> "Move":
        """A part along an axis."""
        own = self.lowered(dim)
        places = own.places[(*[slice(None)] * (dim - own.kept), part)]
        return own._with((*own.shape[: own.kept], *places.shape), places)

    def taken(self, dim: int, indices: Places) -> "Move":
        """These along an axis; zeros for -1."""
        own = self.lowered(dim)
        axis = dim - own.kept
        places = own.places.take(indices, axis)
        zeros: tuple[Any, ...] = (*[slice(None)] * axis, indices < 0)
        places[zeros] = -1
        return own._with((*own.shape[: own.kept], *places.shape), places)

    def padded(self, sides: Sequence[int]) -> "Move":
        """With zeros before and after, first those of the last axis, as in `F.pad`."""
        own = self.lowered(len(self.shape) - len(sides) // 2)
        pairs = [(sides[i], sides[i + 1]) for i in range(0, len(sides), 2)][::-1]
        none = [(0, 0)] * (own.places.ndim - len(pairs))
        places = np.pad(own.places, [*none, *pairs], constant_values=-1)
        return own._with((*own.shape[: own.kept], *places.shape), places)

    def expanded(self, shape: Sequence[int]) -> "Move":
        """Broadcast to a shape."""
        same = len(shape) == len(self.shape)
        own = self._of_common(shape) if same else self.lowered(0)
        return own._with(tuple(shape), np.broadcast_to(own.places, tuple(shape[own.kept :])))

    def lowered(self, kept: int) -> "Move":
        """The same with fewer axes as they were."""
        own = self
        while own.kept > kept:
            first = own.kept - 1
            size = own.shape[first]
            if size * own.places.size > _LARGEST:
                raise OverflowError("a move of too many elements")
            starts = np.arange(size).reshape(-1, *[1] * own.places.ndim) * math.prod(self.source[own.kept :])
            places = np.where(own.places < 0, -1, own.places + starts)
            own = Move(self.source, self.shape, first, places)
        return own

    def raised(self) -> "Move":
        """The same with as many axes as they were as there are."""
        own = self
        while own.kept < min(len(own.shape), len(own.source)) and own.shape[own.kept] == own.source[own.kept]:
            starts = np.arange(own.shape[own.kept]).reshape(-1, *[1] * (own.places.ndim - 1))
            starts = starts * math.prod(own.source[own.kept + 1 :])
            if not own.places.shape[0]:
                break
            first = own.places[0]
            fits = first < math.prod(own.source[own.kept + 1 :])
            if not fits.all() or not np.array_equal(own.places, np.where(first < 0, -1, first + starts)):
                break
            own = Move(own.source, own.shape, own.kept + 1, first)
        return own

    def vectors(self, dim: int) -> Places:
        """The elements of each index of one of the two last axes, in rows."""
        own = self.lowered(len(self.shape) - 2)
        return np.moveaxis(own.places, dim, 0).reshape(self.shape[dim], -1)

    @property
    def is_identity(self) -> bool:
        """Whether everything is where it was."""
        return self.kept == len(self.shape) == len(self.source) and not self.places.any()

    @functools.cached_property
    def digest(self) -> str:
        """What tells the places from others."""
        return hashlib.blake2b(np.ascontiguousarray(self.places).tobytes(), digest_size=16).hexdigest()

    def _of_common(self, shape: Sequence[int]) -> "Move":
        """The same with no axes as they were but those that another shape has too."""
        pairs = list(zip(self.shape, shape, strict=False))
        return self.lowered(next((i for i, (one, other) in enumerate(pairs) if one != other), len(pairs)))

    def _with(self, shape: tuple[int, ...], places: Places) -> "Move":
        return Move(self.source, shape, self.kept, places)


def unmoved(shape: Sequence[int]) -> Move:
    """All elements where they are."""
    return Move(tuple(shape), tuple(shape), len(shape), np.zeros((), np.int64))
