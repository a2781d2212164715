"""Finding a small set that makes a difference, with few probes.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), where a set is
tested by taking it away. Few culprits among many items are first narrowed down by halving, one culprit at a time, which
takes a third of the probes; then nothing is left to be taken on trust, since ddmin reduces what halving found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """The smallest curing set that was seen, None for none; `whole` says whether the search was done."""

    cure: tuple[T, ...] | None
    probes: int
    whole: bool


class _Spent(Exception):  # noqa: N818  # it is what it says
    """No probe is left."""


class _Probes(Generic[T]):
    """Asks each question once, and no more than `limit`."""

    def __init__(self, cures: Callable[[frozenset[T]], bool], limit: int) -> None:
        self._cures, self._limit = cures, limit
        self._known: dict[frozenset[T], bool] = {frozenset(): False}
        self.best: tuple[T, ...] | None = None

    @property
    def count(self) -> int:
        return len(self._known) - 1

    def cures(self, items: Sequence[T]) -> bool:
        asked = frozenset(items)
        if asked not in self._known:
            if self.count >= self._limit:
                raise _Spent
            self._known[asked] = self._cures(asked)
            if self._known[asked] and (self.best is None or len(asked) < len(self.best)):
                self.best = tuple(items)
        return self._known[asked]


def smallest_cure(
    groups: Sequence[Sequence[T]], cures: Callable[[frozenset[T]], bool], limit: int, suspects: Collection[T] = ()
) -> Found[T]:
    """A set of items that `cures`, none of which can be left out; `groups` come most suspect first.

    Groups are tried whole, each with those before it, and the first that cures is reduced. Taking away much may break
    what a single item leaves whole, so `suspects` are tried one by one as well, after the first group; at the end all
    items are, as far as `limit` probes go.
    """
    probes = _Probes(cures, limit)
    gathered: list[T] = []
    try:
        for index, group in enumerate(groups):
            gathered += [item for item in group if item not in gathered]
            if probes.cures(gathered):
                return Found(tuple(_reduced(_narrowed(gathered, probes), probes)), probes.count, True)
            if index == 0 and (one := _single([item for item in gathered if item in suspects], probes)):
                return Found(one, probes.count, True)
        return Found(_single(gathered, probes), probes.count, True)
    except _Spent:
        return Found(probes.best, probes.count, False)


def _single(items: Sequence[T], probes: _Probes[T]) -> tuple[T, ...] | None:
    return next(((item,) for item in items if probes.cures([item])), None)


def _narrowed(items: list[T], probes: _Probes[T]) -> list[T]:
    """A part of `items`, which cures, that still does: each time the last item of the shortest front that is enough."""
    needed: list[T] = []
    while not probes.cures(needed):
        low, high = 0, len(items)  # with the first `high` it cures, with the first `low` it does not
        while high - low > 1:
            middle = (low + high) // 2
            if probes.cures([*needed, *items[:middle]]):
                high = middle
            else:
                low = middle
        needed.append(items[high - 1])
        items = items[: high - 1]
    return needed


def _split(items: list[T], parts: int) -> tuple[list[list[T]], list[list[T]]]:
    """Items in so many pieces, and what is left of them without each; nothing, where that is the other piece."""
    size = -(-len(items) // parts)
    pieces = [items[start : start + size] for start in range(0, len(items), size)]
    return pieces, [[item for item in items if item not in piece] for piece in pieces] if len(pieces) > 2 else []


def _reduced(items: list[T], probes: _Probes[T]) -> list[T]:
    """A part of `items`, which cures, that still does, and none of whose items can be left out."""
    parts = 2
    while len(items) > 1:
        pieces, rests = _split(items, parts)
        smaller = next((part for part in (*pieces, *rests) if probes.cures(part)), None)
        if smaller is not None:
            parts = 2 if smaller in pieces else max(parts - 1, 2)
            items = smaller
        elif parts >= len(items):
            break
        else:
            parts = min(parts * 2, len(items))
    return items
