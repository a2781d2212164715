"""What the sides of each case cost, as a table for each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..validate.bench.outcome import FIGURES, Figures, ratios
from .console import plain_table, stdout_console

if TYPE_CHECKING:
    from ..validate.bench import BenchOutcome, CaseFigures, SideFigures

_STYLES = {"complete": "", "error": "red", "timeout": "red"}


def print_bench(outcome: BenchOutcome) -> None:
    """Print it on stdout."""
    console = stdout_console()
    sides = ", ".join(filter(None, [outcome.port, outcome.other]))
    backends = {side.backend for case in outcome.cases for side in case.sides if side.backend}
    where = ", ".join(sorted(backends)) or "XLA"
    head = f"{outcome.upstream} unported, and ported in {sides}: {outcome.preset}, {where}, 1 + {outcome.steps} steps"
    console.print(Text(head, style="bold"), soft_wrap=True)
    for case in outcome.cases:
        console.print()
        _print_case(console, case)


def _print_case(console: Console, case: CaseFigures) -> None:
    if not case.sides:
        words = f"not in this upstream: {case.unavailable}" if case.unavailable else case.problem
        console.print(Text(f"{case.name}: {words}"), soft_wrap=True)
        return
    console.print(_table(case))
    for side in case.sides:
        if side.verdict != "complete":
            done = f" in step {len(side.steps) + 1}" if side.steps else " in its first step"
            at = f" at {side.where}" if side.where else ""
            words = f"{side.side}{done}: {side.error}{at}"
            console.print(Text(words, style=_STYLES[side.verdict]), soft_wrap=True)
        for finding in side.findings:
            console.print(Text(f"{side.side}: {finding}"), soft_wrap=True)


def _table(case: CaseFigures) -> Table:
    unported, *ports = case.sides
    table = plain_table(case.name, "", "unported", *(h for p in ports for h in (p.side, "ratio")))
    for column in table.columns[2:]:
        column.justify = "right"
    table.add_row("", "verdict", *(cell for side in case.sides for cell in _verdict(side)))
    _add_figures(table, "first step", unported.first, [port.first for port in ports])
    _add_figures(table, "a later step", unported.later, [port.later for port in ports], seconds=", median")
    spreads = [_spread(unported), *(cell for port in ports for cell in (_spread(port), ""))]
    table.add_row("", "seconds, least to most", *spreads)
    return table


def _add_figures(
    table: Table, label: str, base: Figures | None, ports: Sequence[Figures | None], seconds: str = ""
) -> None:
    """Add the rows of one step; `seconds` says of which, where they are several."""
    table.add_section()
    for name, title in FIGURES.items():
        cells = [_number(base, name)]
        for figures in ports:
            cells += [_number(figures, name), _ratio(ratios(figures, base)[name])]
        table.add_row(label, title + (seconds if name == "seconds" else ""), *cells)
        label = ""


def _verdict(side: SideFigures) -> tuple[Text, ...]:
    text = Text(side.verdict, style=_STYLES[side.verdict])
    return (text,) if side.side == "unported" else (text, Text(""))


def _number(figures: Figures | None, name: str) -> str:
    if figures is None:
        return "–"
    value = figures[name]
    if name == "seconds":
        return _seconds(value)
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} x" if value >= 10 or value == 0 else f"{value:.2g} x"


def _spread(side: SideFigures) -> str:
    return " – ".join(_seconds(value) for value in side.spread) if side.spread else "–"
