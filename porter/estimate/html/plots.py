"""Where the marks of a roofline plot and of bars go, in percent of width and height."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from porter.estimate.chips import Chip
from porter.estimate.roofline import Roofline, ridge

_DECADES = 1  # around what there is
_LEAST = 0.5  # percent of the width that is still seen


@dataclass(frozen=True)
class Tick:
    """A line of the grid."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A graph below the roof."""

    x: float
    y: float
    number: int
    title: str
    bound: str


@dataclass(frozen=True)
class RoofPlot:
    """Reachable FLOP/s over FLOPs a byte, both logarithmic: the slope of the HBM, then the chip's peak."""

    summary: str
    marks: tuple[Mark, ...]
    across: tuple[Tick, ...]
    along: tuple[Tick, ...]
    foot: tuple[float, float]  # where the slope begins
    edge: tuple[float, float]  # where it meets the peak


@dataclass(frozen=True)
class TimeBar:
    """The two times of a graph, as widths."""

    compute: float
    memory: float
    text: str


def roof_plot(chip: Chip, graphs: Sequence[tuple[str, Roofline]]) -> RoofPlot | None:
    """The plot of a chip; None where no graph has figures. Marks are numbered as the graphs are."""
    shown = [(number, name, roof) for number, (name, roof) in enumerate(graphs, 1) if roof.intensity > 0]
    if not shown:
        return None
    intensities = [roof.intensity for _, _, roof in shown] + [ridge(chip)]
    left = math.floor(math.log10(min(intensities)))
    right = math.ceil(math.log10(max(intensities))) + _DECADES
    low, high = left + math.log10(chip.speed), math.log10(chip.peak) + _DECADES / 2

    def across(intensity: float) -> float:
        return _short(100 * (math.log10(intensity) - left) / (right - left))

    def up(rate: float) -> float:
        return _short(100 - 100 * (math.log10(rate) - low) / (high - low))

    marks = tuple(
        Mark(
            across(roof.intensity),
            up(chip.peak * roof.reach),
            number,
            f"{name}: {roof.intensity:.3g} FLOP a byte, at most {chip.peak * roof.reach / 1e12:.3g} TFLOP/s, "
            f"{roof.seconds * 1e3:.3g} ms",
            roof.bound,
        )
        for number, name, roof in shown
    )
    return RoofPlot(
        summary=f"{len(marks)} graphs below the roofline of {chip.name}; its ridge is at {ridge(chip):.0f} FLOP a byte",
        marks=marks,
        across=tuple(Tick(across(10.0**power), _power(power)) for power in range(left, right + 1)),
        along=tuple(
            Tick(up(10.0**power), f"{10.0 ** (power - 12):g}") for power in range(math.ceil(low), math.floor(high) + 1)
        ),
        foot=(0.0, 100.0),
        edge=(across(ridge(chip)), up(chip.peak)),
    )


def time_bars(roofs: Sequence[Roofline | None]) -> tuple[TimeBar | None, ...]:
    """A bar for each graph, all on one scale; None where a graph has no figures."""
    longest = max((roof.seconds for roof in roofs if roof is not None), default=0.0)
    return tuple(
        None
        if roof is None
        else TimeBar(_width(roof.compute, longest), _width(roof.memory, longest), f"{roof.seconds * 1e3:.3g} ms")
        for roof in roofs
    )


def share(part: float, whole: float) -> float:
    """Percent of the width, at most all of it."""
    return _width(min(part, whole), whole)


def _width(value: float, longest: float) -> float:
    if value <= 0 or longest <= 0:
        return 0.0
    return _short(max(_LEAST, 100 * value / longest))


def _power(power: int) -> str:
    return f"{10.0**power:g}"


def _short(value: float) -> float:
    return round(value, 2)
