"""Canonical forms of products, sums and moved elements, for graphs whose shapes are known."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from .moves import Move, Places, unmoved
from .numbers import ValueNumbers

_DIGITS = 12  # of factors, which differ in the last ones by how they are computed


class Algebra:
    """Makes numbers of values: factors stand outside of products and moves, and inside of sums.

    Rows or columns that a product is only padded with are left out of it.
    """

    def __init__(self, numbers: ValueNumbers) -> None:
        self._numbers = numbers

    def moved(self, number: int, change: Callable[[Move], Move]) -> int:
        """What `change` makes of where the elements of a value are."""
        numbers = self._numbers
        if (key := numbers.key(number))[0] == "scaled":
            return self.scaled(self.moved(key[1], change), key[2])
        source = key[1] if key[0] == "moved" else number
        found = change(self._move(number)).raised()
        if found.is_identity:
            return int(source)
        moved = numbers.of("moved", source, found.shape, found.kept, found.digest)
        numbers.moves[moved], numbers.shapes[moved] = found, found.shape
        return moved

    def scaled(self, number: int, factor: float) -> int:
        """A value times a number."""
        numbers = self._numbers
        key = numbers.key(number)
        if key[0] == "add" and all(one in numbers.shapes for one in key[1:]):
            return self._sum(self.scaled(key[1], factor), self.scaled(key[2], factor), numbers.shapes[number])
        if key[0] == "scaled":
            number, factor = key[1], key[2] * factor
        factor = float(f"{factor:.{_DIGITS}g}")
        if factor == 1:
            return number
        return self._shaped(numbers.of("scaled", number, factor), numbers.shapes[number])

    def added(self, one: int, other: int) -> int | None:
        """The sum of two; None where their shapes do not fit."""
        shape = _broadcast(self._numbers.shapes[one], self._numbers.shapes[other])
        return None if shape is None else self._sum(one, other, shape)

    def _sum(self, one: int, other: int, shape: Sequence[int]) -> int:
        return self._shaped(self._numbers.of("add", *sorted((one, other))), shape)

    def product(self, left: int, right: int) -> int | None:
        """The matrix product of two; None where their shapes do not fit."""
        numbers = self._numbers
        for i, number in enumerate((left, right)):
            key = numbers.key(number)
            if key[0] == "scaled":
                pair = (key[1], right) if i == 0 else (left, key[1])
                found = self.product(*pair)
                return None if found is None else self.scaled(found, key[2])
        if self._lead(left, right) is None:
            return None
        right = self._narrowed(right, left)  # not both: what both have copies of is kept once
        if numbers.key(right)[0] == "moved":
            columns = self._padding(right, -1, repeated=True)
            if columns is not None:
                chosen, places = columns
                inner = self._product(left, self.moved(right, lambda move: move.taken(len(move.shape) - 1, chosen)))
                return self.moved(inner, lambda move: move.taken(len(move.shape) - 1, places))
            rows = self._padding(right, -2, repeated=False)
            if rows is not None:
                chosen = rows[0]
                right = self.moved(right, lambda move: move.taken(len(move.shape) - 2, chosen))
                left = self.moved(left, lambda move: move.taken(len(move.shape) - 1, chosen))
        return self._product(left, right)

    def einsum(self, equation: str, left: int, right: int) -> int | None:
        """A product by `torch.einsum`, where that is one of matrices."""
        terms, _, result = equation.replace(" ", "").partition("->")
        one, _, other = terms.partition(",")
        summed = [axis for axis in one if axis in other and axis not in result]
        shared = [axis for axis in one if axis in other and axis in result]
        rows, columns = ([a for a in term if a in result and a not in shared] for term in (one, other))
        plain = all(len(set(term)) == len(term) and term.isalpha() for term in (one, other, result))
        if not plain or not len(summed) == len(rows) == len(columns) == 1:
            return None
        if sorted(result) != sorted([*shared, *rows, *columns]) or len(one) != len(other) or len(one) != len(result):
            return None
        first = self._ordered(left, one, [*shared, *rows, *summed])
        found = self.product(first, self._ordered(right, other, [*shared, *summed, *columns]))
        return None if found is None else self._ordered(found, "".join([*shared, *rows, *columns]), list(result))

    def _narrowed(self, number: int, other: int) -> int:
        """A factor of a product without copies along axes that the other one has, and without axes that go before."""
        others = self._numbers.shapes[other]
        for axis in range(-len(self._numbers.shapes[number]), -2):
            move = self._move(number)
            within = axis + move.places.ndim
            if within < 0 or -axis > len(others) or others[axis] != move.shape[axis] or move.shape[axis] == 1:
                continue
            if (move.places == move.places.take([0], within)).all():
                number = self.moved(number, functools.partial(_first, axis))
        if len(others) < len(self._numbers.shapes[number]):
            return number
        return [number, *self.without_first_axes(number)][-1]

    def without_first_axes(self, number: int) -> list[int]:
        """What a value is with one axis of length 1 fewer at its beginning, with two fewer, and so on."""
        shape, found = self._numbers.shapes.get(number, ()), list[int]()
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
            found.append(self.moved(number, functools.partial(_reshaped, shape)))
        return found

    def _ordered(self, number: int, axes: str, wanted: Sequence[str]) -> int:
        return self.moved(number, lambda move: move.permuted([axes.index(axis) for axis in wanted]))

    def _product(self, left: int, right: int) -> int:
        numbers = self._numbers
        shape = (*(self._lead(left, right) or ()), numbers.shapes[left][-2], numbers.shapes[right][-1])
        return self._shaped(numbers.of("matmul", left, right), shape)

    def _lead(self, left: int, right: int) -> tuple[int, ...] | None:
        """The axes of a product before those of its matrices; None where these do not fit."""
        first, second = self._numbers.shapes[left], self._numbers.shapes[right]
        if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
            return None
        return _broadcast(first[:-2], second[:-2])

    def _padding(self, number: int, dim: int, *, repeated: bool) -> tuple[Places, Places] | None:
        """Which vectors along one of the two last axes of a value are not zero, each once, in order; and its places.

        None where these are all. `repeated`: whether some may be there several times.
        """
        move = self._numbers.moves[number]
        if move.places.ndim <= (0 if dim == -1 else 1) and not (move.places < 0).any():
            return None
        vectors = move.vectors(dim)
        there = (vectors >= 0).any(axis=1)
        if not there.any():
            return None
        _, first, inverse = np.unique(vectors[there], axis=0, return_index=True, return_inverse=True)
        if len(first) == len(vectors) and np.array_equal(first, np.arange(len(first))):
            return None
        if len(first) < there.sum() and not repeated:
            return None
        places = np.full(len(vectors), -1)
        places[there] = inverse.reshape(-1)
        return np.flatnonzero(there)[first], places

    def _move(self, number: int) -> Move:
        return self._numbers.moves.get(number) or unmoved(self._numbers.shapes[number])

    def _shaped(self, number: int, shape: Sequence[int]) -> int:
        self._numbers.shapes[number] = tuple(shape)
        return number


def _first(axis: int, move: Move) -> Move:
    """The first along an axis, counted from the last one."""
    return move.cut(axis + len(move.shape), slice(0, 1))


def _reshaped(shape: Sequence[int], move: Move) -> Move:
    return move.reshaped(shape)


def _broadcast(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """The shape of what two shapes are broadcast to; None where they are not."""
    count = max(len(one), len(other))
    pairs = zip([1] * (count - len(one)) + list(one), [1] * (count - len(other)) + list(other), strict=True)
    found = [(a, b) for a, b in pairs]
    if any(a != b and 1 not in (a, b) for a, b in found):
        return None
    return tuple(b if a == 1 else a for a, b in found)
