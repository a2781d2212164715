"""Where the marks of a plot go, in percent of its width and height, so that text keeps its size on any screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_EQUAL, _TOP, _BOTTOM, _LOST = 6.0, 15.0, 84.0, 94.0  # heights of: equal, the scale's ends, no match
_LEAST_SHARE = 0.22  # of the width, for a group's label
_SIDE_BY_SIDE = 4  # groups whose names have room beside each other
_TICK = 20  # dB
_ROOM = 20  # dB around what there is
_TALLEST, _SEEN = 80.0, 4.0  # heights of bars: the largest count, and the least that is seen beside it
_LOWEST = -20.0  # dB; below it all is the same: noise


@dataclass(frozen=True)
class Value:
    """One ratio to plot."""

    group: str
    title: str
    decibels: float | None  # None: equal; -inf: no match
    limit: float | None
    passed: bool
    link: str = ""


@dataclass(frozen=True)
class Mark:
    """A value at its place."""

    x: float
    y: float
    passed: bool
    title: str
    link: str


@dataclass(frozen=True)
class Line:
    """A limit, over the values that it is for."""

    start: float
    end: float
    y: float


@dataclass(frozen=True)
class Label:
    """A text at a place: along the width for a group, along the height for a tick."""

    at: float
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Ratios:
    """A plot of signal-to-noise ratios against their limits."""

    summary: str
    marks: tuple[Mark, ...]
    limits: tuple[Line, ...]
    ticks: tuple[Label, ...]
    groups: tuple[Label, ...]
    borders: tuple[float, ...]
    upright: bool = False  # many groups, whose names stand on end


@dataclass(frozen=True)
class Bar:
    """One step's count; `limit` is the height of what may be."""

    x: float
    width: float
    y: float
    limit: float
    count: int
    within: bool
    title: str
    label: str


def ratios(values: Sequence[Value], noun: str) -> Ratios | None:
    """A plot of `values`, left to right, those of a group side by side; None where there are none."""
    if not values:
        return None
    low, high = _range(values)
    places: list[tuple[Value, float, float]] = []  # value, x, half of its room
    groups, borders, start = [], [], 0.0
    kinds = [(name, list(found)) for name, found in groupby(values, key=lambda value: value.group)]
    for (name, found), share in zip(kinds, _shares([len(found) for _, found in kinds]), strict=True):
        room = 100 * share / len(found)
        places += [(value, start + room * (index + 0.5), room / 2) for index, value in enumerate(found)]
        groups.append(Label(_short(start + 50 * share), name, str(len(found))))
        start += 100 * share
        borders.append(_short(start))
    marks = [Mark(_short(x), _height(v.decibels, low, high), v.passed, v.title, v.link) for v, x, _ in places]
    failed = sum(not value.passed for value in values)
    return Ratios(
        summary=f"Signal-to-noise ratios of {len(values)} {noun}, {failed} of them below their limits",
        marks=tuple(marks),
        limits=tuple(_limits(places, low, high)),
        ticks=(
            Label(_EQUAL, "equal"),
            *(
                Label(_height(float(db), low, high), f"{db} dB")
                for db in range(int(low), int(high) + 1, _step(low, high))
            ),
            Label(_LOST, "no match"),
        ),
        groups=tuple(groups),
        borders=tuple(borders[:-1]),
        upright=len(kinds) > _SIDE_BY_SIDE,
    )


def bars(counts: Sequence[int], limits: Sequence[int], noun: str) -> tuple[Bar, ...]:
    """A bar for each step."""
    most = max(1, *counts, *limits)
    room = 100 / len(counts)
    found = []
    for step, (count, limit) in enumerate(zip(counts, limits, strict=True)):
        found.append(
            Bar(
                x=_short(room * (step + 0.15)),
                width=_short(room * 0.7),
                y=_short(100 - max(_SEEN if count else 0, _TALLEST * count / most)),
                limit=_short(100 - _TALLEST * limit / most),
                count=count,
                within=count <= limit,
                title=f"step {step + 1}: {count} {noun}, where {limit or 'none'} may be",
                label=str(step + 1),
            )
        )
    return tuple(found)


def _range(values: Sequence[Value]) -> tuple[float, float]:
    """Ends of the scale in dB, multiples of a tick."""
    finite = [v for value in values for v in (value.decibels, value.limit) if v is not None and math.isfinite(v)]
    low = max(_LOWEST, min(finite, default=80.0) - _ROOM)
    high = max(max(finite, default=120.0) + _ROOM, low + 3 * _TICK)
    return math.floor(low / _TICK) * _TICK, math.ceil(high / _TICK) * _TICK


def _step(low: float, high: float) -> int:
    return _TICK if high - low <= 6 * _TICK else 2 * _TICK


def _height(value: float | None, low: float, high: float) -> float:
    if value is None:
        return _EQUAL
    if not math.isfinite(value):
        return _LOST
    part = (min(max(value, low), high) - low) / (high - low)
    return _short(_BOTTOM - (_BOTTOM - _TOP) * part)


def _limits(places: Sequence[tuple[Value, float, float]], low: float, high: float) -> list[Line]:
    """One line for each run of values of a group that share a limit; integers have none, and do not end a run."""
    lines = []
    limited = [place for place in places if place[0].limit is not None]
    for (_, limit), run in groupby(limited, key=lambda place: (place[0].group, place[0].limit)):
        found = list(run)
        (_, first, half), (_, last, _) = found[0], found[-1]
        lines.append(Line(_short(first - half), _short(last + half), _height(limit, low, high)))
    return lines


def _shares(sizes: Sequence[int]) -> list[float]:
    """Parts of the width: by the root of the size, since a group of hundreds would leave nothing for one of three."""
    roots = [math.sqrt(size) for size in sizes]
    least = min(_LEAST_SHARE, (1 if len(sizes) <= _SIDE_BY_SIDE else 0.6) / len(sizes))
    rest = 1 - least * len(sizes)
    return [least + rest * root / sum(roots) for root in roots]


def _short(value: float) -> float:
    return round(value, 2)
