"""What the TPU compiler said, as a table for each chip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..estimate.chips import CHIPS
from ..estimate.pair import described
from ..estimate.roofline import ridge
from .console import plain_table, stdout_console

if TYPE_CHECKING:
    from ..estimate.outcome import EstimateOutcome, Fit, GraphOutcome, Said

_STYLES = {"compiles": "green", "too large": "red", "error": "red", "timeout": "red"}
_REASONS = 3  # why modules were not fused, in the line of a graph
_FIGURES = (
    "GFLOP",
    "GB accessed",
    "GB moved",
    "temporary GB",
    "arguments GB",
    "HBM needed",
    "code MB",
    "compiled in s",
    "roofline ms",
)


def print_estimate(outcome: EstimateOutcome) -> None:
    """Print it on stdout."""
    console = stdout_console()
    _print_head(console, outcome)
    for name in outcome.chips:
        console.print()
        _print_chip(console, name, outcome.graphs)
    if any(said.cached for graph in outcome.graphs for _, said in graph.said):
        console.print(Text("* compiled in an earlier run; --fresh compiles again"), soft_wrap=True)
    for graph in outcome.graphs:
        _print_problems(console, graph)
    for graph in outcome.graphs:
        _print_fusions(console, graph)
    for chip, note in outcome.notes:
        console.print(Text(f"on {chip}: {note}", style="yellow"), soft_wrap=True)
    if outcome.fits:
        _print_fits(console, outcome.fits)


def _print_head(console: Console, outcome: EstimateOutcome) -> None:
    precision = "bfloat16 autocast" if outcome.bf16 else "float32"
    head = f"{outcome.port} by {outcome.compiler}: {outcome.preset}, {outcome.sizes}, {precision}"
    console.print(Text(head, style="bold"), soft_wrap=True)
    if outcome.usual is not None:
        named = f"the packages that torch_xla {outcome.versions.get('torch_xla', '')} names for a TPU machine"
        words = f"These are {named}." if outcome.usual else f"These are not {named}: {described(outcome.named)}."
        console.print(Text(words, style="" if outcome.usual else "yellow"), soft_wrap=True)


def _print_problems(console: Console, graph: GraphOutcome) -> None:
    if graph.unavailable or graph.problem:
        words = f"not in this upstream: {graph.unavailable}" if graph.unavailable else graph.problem
        console.print(Text(f"{graph.name}: {words}", style="" if graph.unavailable else "red"), soft_wrap=True)
    for chip, said in graph.said:
        if said.error:
            console.print(Text(f"{graph.name} on {chip}: {said.error}", style="red"), soft_wrap=True)


def _print_fusions(console: Console, graph: GraphOutcome) -> None:
    for chip, fusions in graph.fusions:
        fused = sum(bool(one.kernel) for one in fusions)
        others = [f"not for {one.path or 'it'}: {one.reason}" for one in fusions if not one.kernel]
        more = [f"{len(others) - _REASONS} more"] if len(others) > _REASONS else []
        words = f"{graph.name} on {chip}: kernels stand for {fused} of {len(fusions)} modules"
        console.print(Text("; ".join((words, *others[:_REASONS], *more))), soft_wrap=True)


def _print_chip(console: Console, name: str, graphs: Sequence[GraphOutcome]) -> None:
    chip = CHIPS[name]
    words = (
        f"{chip.name}, {chip.peak / 1e12:.4g} TFLOP/s in bfloat16, {chip.speed / 1e9:.4g} GB/s, "
        f"{chip.usable.value / 1e9:.2f} GB of HBM for a program; above {ridge(chip):.0f} FLOP a byte it is the "
        "arithmetic that takes longer"
    )
    console.print(Text(words), soft_wrap=True)
    table = plain_table("graph", "verdict", *_FIGURES, "bound by")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for column in table.columns[2:-1]:
        column.justify = "right"
    for graph in graphs:
        for other, said in graph.said:
            if other == name:
                table.add_row(graph.name, Text(said.verdict, style=_STYLES[said.verdict]), *_cells(graph, said, name))
    console.print(table)


def _cells(graph: GraphOutcome, said: Said, chip: str) -> tuple[str, ...]:
    needs = f"{said.needs / 1e9:.2f}" if said.needs else "–"
    found, roof = said.compiled, graph.roof(chip)
    if found is None or roof is None:
        return ("–", "–", "–", "–", "–", needs, "–", "–", "–", "–")
    return (
        f"{found.flops / 1e9:.3g}" if found.flops < 1e11 else f"{found.flops / 1e9:.0f}",
        f"{found.accessed / 1e9:.2f}",
        f"{found.moved / 1e9:.2f}",
        f"{found.temporary / 1e9:.2f}",
        f"{found.arguments / 1e9:.2f}",
        needs,
        f"{found.code / 1e6:.1f}",
        f"{found.seconds:.0f}{' *' if said.cached else ''}",
        f"{roof.seconds * 1e3:.3g}",
        roof.bound,
    )


def _print_fits(console: Console, fits: Sequence[Fit]) -> None:
    table = plain_table("graph", "chip", "search", "largest that fits", "HBM needed", "does not fit", "compiles")
    for fit in fits:
        found = fit.found
        kept = f"{fit.at.frames} frames" if fit.what == "batch" else f"batch {fit.at.batch}"
        table.add_row(
            fit.graph,
            fit.chip,
            f"{fit.what}, with {kept}",
            found.words,
            f"{found.needs / 1e9:.2f}" if found.needs else "–",
            str(found.exceeded or "–"),
            str(len(found.probes)),
        )
    console.print()
    console.print(table)
    for fit in fits:
        if fit.found.problem:
            words = f"{fit.graph} on {fit.chip}, {fit.what}: {fit.found.problem}"
            console.print(Text(words, style="red"), soft_wrap=True)
