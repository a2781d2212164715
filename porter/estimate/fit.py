"""The largest size that fits, found with few compiles: each may take minutes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FINE = 64  # a search ends where it knows the largest size to one part in so many
_POOR = 2  # poor guesses before one does without
_STRIDE = 4.0  # a first guess is at most so many times the size before


@dataclass(frozen=True)
class Probe:
    """What became of one size."""

    size: int
    fits: bool
    needs: int = 0  # bytes of HBM, 0 where nobody knows
    graph: str = ""  # tells equal graphs
    problem: str = ""  # why nobody knows whether it fits


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    largest: int | None  # the largest size that fits, None where none does
    needs: int  # bytes of HBM at that size
    exceeded: int | None  # the next size tried, which does not fit; None where the search ended at the last one
    unaffected: bool  # whether the graph is the same for all sizes
    probes: tuple[Probe, ...]  # in the order in which they were tried
    problem: str = ""  # why the search did not end

    @property
    def words(self) -> str:
        """The largest size, for people."""
        if self.unaffected:
            return "any"
        if self.largest is None:
            return "none" if self.exceeded is not None else "not known"
        return str(self.largest) if self.exceeded is not None else f"{self.largest} or more"


def largest(sizes: Sequence[int], start: int, capacity: float, probe: Callable[[int], Probe]) -> Found:
    """The largest of `sizes`, ascending, that fits, from `start` on; whatever is below one that fits has to fit too.

    Guesses follow the line through what fitting sizes needed; `capacity` is what there is, in bytes. Near the limit the
    compiler gives up speed for memory, and the line misleads: where guesses are wrong or gain little, the interval is
    halved, or before anything was too large the size doubled. Sizes above 64 are found to one part in 64.
    """
    search = _Search(sizes, capacity)
    place = max(index for index, size in enumerate(sizes) if index == 0 or size <= start)
    while True:
        found = probe(sizes[place])
        search.take(place, found)
        if found.problem or search.ended:
            return search.result(found.problem)
        place = search.next()


class _Search:
    def __init__(self, sizes: Sequence[int], capacity: float) -> None:
        self._sizes, self._capacity = sizes, capacity
        self._low, self._high = -1, len(sizes)  # places: the last that fits, the first that does not
        self._probes: list[Probe] = []
        self._known: dict[int, Probe] = {}
        self._promise: bool | None = None  # whether the last guess should have fitted; None: it was no guess
        self._poor = 0  # guesses in a row that did not halve the interval; a wrong one is enough

    @property
    def ended(self) -> bool:
        if self._high - self._low == 1:
            return True
        if self._low < 0 or self._high == len(self._sizes):
            return False
        size = self._sizes[self._low]
        return self._sizes[self._high] - size <= size / _FINE

    def take(self, place: int, found: Probe) -> None:
        self._probes.append(found)
        if found.problem:
            return
        before = self._high - self._low
        self._known[place] = found
        if found.fits:
            self._low = max(self._low, place)
        else:
            self._high = min(self._high, place)
        if self._promise is None or 2 * (self._high - self._low) <= before + 1:
            self._poor = 0
        elif self._promise != found.fits:
            self._poor = _POOR
        elif self._high < len(self._sizes):
            self._poor += 1

    def next(self) -> int:
        """A place between those that are known to fit and known not to."""
        guess = None if self._poor >= _POOR else self._guess()
        if guess is None:
            self._promise, self._poor = None, 0
            return self._further() if self._high == len(self._sizes) else (self._low + self._high) // 2
        self._promise = guess > self._low
        return max(guess, self._low + 1)

    def result(self, problem: str) -> Found:
        fitting = self._known.get(self._low)
        first = self._known.get(self._high)
        graphs = {probe.graph for probe in self._known.values()}
        everywhere = not problem and self._low == len(self._sizes) - 1 > 0
        return Found(
            largest=fitting.size if fitting else None,
            needs=fitting.needs if fitting else 0,
            exceeded=first.size if first else None,
            unaffected=everywhere and len(self._known) > 1 and len(graphs) == 1,
            probes=tuple(self._probes),
            problem=problem,
        )

    def _measured(self) -> list[tuple[int, int]]:
        """The sizes whose need is known, with it: those that fit, or else the least of the others."""
        probes = [probe for probe in self._known.values() if probe.needs]
        fitting = sorted((probe.size, probe.needs) for probe in probes if probe.fits)
        return fitting or sorted((probe.size, probe.needs) for probe in probes)[:1]

    def _guess(self) -> int | None:
        """The last place that should fit; None where nothing that is known tells one in between."""
        told = self._measured()
        if not told:
            return None
        size, needs = told[-1]
        if len(told) == 1:
            wanted = min(size * self._capacity / needs, size * _STRIDE)
        else:
            other, others = told[-2]
            if needs <= others:
                wanted = float(self._sizes[-1])
            else:
                wanted = size + (self._capacity - needs) * (size - other) / (needs - others)
        place = bisect_right(self._sizes, wanted) - 1
        return place if place < self._high else None

    def _further(self) -> int:
        """The place of twice the largest size so far."""
        place = bisect_right(self._sizes, 2 * self._sizes[self._low]) - 1
        return max(place, self._low + 1)
