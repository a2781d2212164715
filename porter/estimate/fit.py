"""The largest size that fits, found with few compiles: each may take minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PATIENCE = 2  # guesses that may fail to halve what is left before the middle is tried
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
    exceeded: int | None  # the next size, which does not fit; None where the search ended at the last one
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

    Guesses follow the line through what the sizes tried before needed; `capacity` is what there is, in bytes. Where
    the line misleads, the interval is halved: there are at most about three probes for each halving.
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
        self._missed = 0  # guesses in a row that did not halve the interval

    @property
    def ended(self) -> bool:
        return self._high - self._low == 1

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
        self._missed = 0 if 2 * (self._high - self._low) <= before + 1 else self._missed + 1

    def next(self) -> int:
        """A place between those that are known to fit and known not to."""
        middle = (self._low + self._high) // 2
        guess = None if self._missed >= _PATIENCE else self._guess()
        if guess is None:
            self._missed = 0
            guess = middle
        return min(max(guess, self._low + 1), self._high - 1)

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

    def _guess(self) -> int | None:
        """The last place that should fit, or the one after it, whichever is not known yet."""
        told = sorted((p.size, p.needs) for p in self._known.values() if p.needs)
        if not told:
            return None
        if len(told) == 1:
            size, needs = told[0]
            wanted = min(size * self._capacity / needs, size * _STRIDE)
        else:
            told.sort(key=lambda point: abs(point[1] - self._capacity))
            (size, needs), (other, others) = told[0], told[1]
            if needs == others:
                return len(self._sizes) - 1 if needs <= self._capacity else None
            wanted = size + (self._capacity - needs) * (other - size) / (others - needs)
        below = [place for place, size in enumerate(self._sizes) if size <= wanted]
        place = below[-1] if below else 0
        return place + 1 if place == self._low else place
