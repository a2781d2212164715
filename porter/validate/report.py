"""What a person reads: a table, and below it whatever speaks against the port."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from porter.validate.budget import Budget
from porter.validate.compare import TensorReport, least_db
from porter.validate.outcome import GROUPS, CaseOutcome, Outcome

_COLOURS = {
    "pass": "green",
    "mismatch": "red",
    "over budget": "yellow",
    "error": "red",
    "timeout": "red",
    "not in this upstream": "dim",
}
_MOST = 8  # lines of a kind, before the rest is only counted


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print the tables and the details of all cases that did not pass."""
    backends = {case.backend for case in outcome.cases if case.backend}
    where = ", ".join(sorted(backends)) or outcome.device
    title = f"{outcome.port} against {outcome.upstream}: {outcome.preset}, {where}, seed {outcome.seed}"
    table = Table(title=escape(title), title_justify="left", caption="least signal-to-noise ratio")
    for name in ("case", "verdict", *GROUPS):
        table.add_column(name)
    table.add_column("seconds", justify="right")
    for case in outcome.cases:
        verdict = f"[{_COLOURS[case.verdict]}]{case.verdict}[/]"
        least = [_least(case.group(group)) for group in GROUPS]
        table.add_row(case.name, verdict, *least, f"{case.seconds:.0f}")
    console.print(table)
    if any(case.budget for case in outcome.cases):
        console.print(_budget_table(outcome))
    for case in outcome.cases:
        _print_details(case, console)


def _budget_table(outcome: Outcome) -> Table:
    table = Table(title="Graph budget", title_justify="left", caption="in the first step / the most in a later one")
    table.add_column("case")
    for name in ("compiles", "fallbacks", "host syncs", "down", "up", "seconds"):
        table.add_column(name, justify="right")
    for case in outcome.cases:
        if case.budget:
            table.add_row(case.name, *_budget_cells(case.budget))
    return table


def _budget_cells(budget: Budget) -> list[str]:
    first, later = budget.steps[0], budget.steps[1:]
    rows = [
        (first.compiles, [s.compiles for s in later]),
        (sum(first.fallbacks.values()), [sum(s.fallbacks.values()) for s in later]),
        (first.syncs, [s.syncs for s in later]),
        (first.downloads, [s.downloads for s in later]),
        (first.uploads, [s.uploads for s in later]),
    ]
    cells = [f"{now} / {max(then)}" if then else f"{now}" for now, then in rows]
    slowest = f" / {max(s.seconds for s in later):.1f}" if later else ""
    return [*cells, f"{first.seconds:.1f}{slowest}"]


def _print_details(case: CaseOutcome, console: Console) -> None:
    lines = [*case.findings]
    lines += [f"{report.group} {report.name}: {_distance(report)}" for report in case.worst(_MOST)]
    failed = sum(not report.passed for report in case.tensors)
    if failed > _MOST:
        lines.append(f"and {failed - _MOST} more tensors")
    if case.divergence:
        found = case.divergence
        inside = f", inside {found.inside}" if found.inside else ""
        lines.append(f"first difference: {found.name} ({found.kind}), {_db(found.snr_db)}{inside}")
        lines += [f"  changed there: {origin}" for origin in case.divergence.edits[:_MOST]]
    lines += [str(overrun) for overrun in case.overruns[:_MOST]]
    for cost in case.costs[:_MOST]:
        side = "gradient of " if cost.backward else ""
        lines.append(f"  {cost.figure}: {cost.operator} x {cost.count}, {side}{cost.origin}")
    if case.drift and case.budget and case.budget.drift:
        drift = case.budget.drift
        lines.append(f"  compiles again: {drift.operator} at {case.drift}: {drift.first}, then {drift.second}")
    if case.bisected:
        lines.append(case.bisected)
        lines += [f"  {culprit}" for culprit in case.culprits]
    if lines:
        console.print(f"\n[bold]{case.name}[/bold]")
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _least(reports: list[TensorReport]) -> str:
    if not reports:
        return "–"
    failed = sum(not report.passed for report in reports)
    text = _db(least_db(reports))
    return f"{text}, {failed} of {len(reports)} fail" if failed else text


def _distance(report: TensorReport) -> str:
    if report.problem:
        return report.problem
    against = f" against {report.scale}" if report.scale else ""
    largest = f"{report.max_abs:.2g}" if report.max_abs is not None else "?"
    wanted = f"at least {report.limit_db:.0f} dB wanted"
    return f"{_db(report.snr_db)}{against}, {wanted}; largest difference {largest}"


def _db(value: float | None) -> str:
    if value is None:
        return "equal"
    return f"{value:.0f} dB" if math.isfinite(value) else "no match"
