"""The page: what the template shows, worked out of an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from porter import __version__
from porter.estimate.chips import CHIPS, Chip
from porter.estimate.html.plots import RoofPlot, TimeBar, roof_plot, share, time_bars
from porter.estimate.outcome import EstimateOutcome, GraphOutcome, Said
from porter.estimate.pair import described
from porter.estimate.roofline import Roofline, ridge
from porter.views.html import environment, today


@dataclass(frozen=True)
class Row:
    """One graph on one chip."""

    number: int
    name: str
    said: Said
    roof: Roofline | None
    time: TimeBar | None
    held: float  # percent of the HBM that a program may use


@dataclass(frozen=True)
class ChipPage:
    """One chip."""

    chip: Chip
    ridge: float
    rows: tuple[Row, ...]
    plot: RoofPlot | None


def render(outcome: EstimateOutcome) -> str:
    """The whole page. It holds everything that it shows."""
    templates = environment(Path(__file__).parent / "templates")
    templates.filters |= {"giga": _giga, "mega": _mega}
    asked = [said for graph in outcome.graphs for _, said in graph.said]
    return templates.get_template("page.html.j2").render(
        outcome=outcome,
        version=__version__,
        date=today(),
        chips=[_chip(CHIPS[name], outcome.graphs) for name in outcome.chips],
        without=[graph for graph in outcome.graphs if graph.unavailable or graph.problem],
        compiled=sum(said.verdict == "compiles" for said in asked),
        asked=len(asked),
        named=described(outcome.named),
    )


def _chip(chip: Chip, graphs: tuple[GraphOutcome, ...]) -> ChipPage:
    found = [(graph, said) for graph in graphs for name, said in graph.said if name == chip.name]
    roofs = [graph.roof(chip.name) for graph, _ in found]
    rows = tuple(
        Row(number, graph.name, said, roof, time, share(said.needs, chip.usable.value))
        for number, ((graph, said), roof, time) in enumerate(zip(found, roofs, time_bars(roofs), strict=True), 1)
    )
    nothing = Roofline(0.0, 0.0, 0.0)
    plot = roof_plot(chip, [(row.name, row.roof or nothing) for row in rows])
    return ChipPage(chip, ridge(chip), rows, plot)


def _giga(value: float) -> str:
    return f"{value / 1e9:.2f}" if value < 1e11 else f"{value / 1e9:.0f}"


def _mega(value: float) -> str:
    return f"{value / 1e6:.1f}"
