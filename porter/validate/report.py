"""What a person reads in a terminal: a line for each case, then whatever speaks against the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from porter.validate.compare import TensorReport, least_db, most_telling
from porter.validate.outcome import GROUPS, CaseOutcome, Outcome
from porter.validate.tolerances import NARROW
from porter.validate.wording import FIGURES, costs, decibels, difference, distance, next_steps, setting, summary
from porter.views.console import plain_table

_STYLES = {"pass": "green", "over budget": "yellow"}
_WRONG = "bold red"
_MOST = 8  # lines of a kind, before the rest is only counted
_GAP = 3  # columns between two of the table's
_LEAST_NAME = 16  # columns that a case's name gets before it goes on in the next line
# What a narrow terminal does without, the first to go first.
_SPARE = ("spent", "seconds", "up", "down", "host syncs", "fallbacks", "buffers", "compiles", "gradients", "results")
_COST_NAMES = {"seconds": "step s"}  # beside the case's own seconds


@dataclass(frozen=True)
class _Column:
    """One column of the table, its cells already words."""

    name: str
    heading: str
    cells: tuple[Text, ...]
    right: bool = False

    @property
    def width(self) -> int:
        return max(len(self.heading), *(cell.cell_len for cell in self.cells))


def print_outcome(outcome: Outcome, console: Console, *, quiet: bool = False) -> None:
    """Print the table, the details of all cases that did not pass, and a summary, which a long run leaves in sight.

    With `quiet` that is only what speaks against the port.
    """
    if quiet:
        for case in outcome.cases:
            if not case.passed:
                _print_details(case, outcome, console)
        _print_untaken(outcome, console)
        return
    console.print(f"{outcome.port} against {outcome.upstream}: {setting(outcome)}", soft_wrap=True)
    judged = outcome.judged
    if judged:
        console.print()
        console.print(_table(judged, console.width))
        console.print(
            f"Ratios: the least of a group{_narrow(judged)}. Costs: of the first step / the most of a later one.",
            style="dim",
            highlight=False,
        )
    for case in judged:
        _print_details(case, outcome, console)
    console.print()
    _print_absent(outcome, console)
    _print_coverage(outcome, console)
    _print_fusions(outcome, console)
    for left in outcome.not_judged:
        console.print(f"Not judged: {left}.", soft_wrap=True, markup=False, highlight=False, style="dim")
    _print_untaken(outcome, console)
    if outcome.stopped:
        console.print(f"Stopped by {outcome.stopped} before the end.", style=_WRONG)
    console.print(f"{summary(outcome.cases)}.", style="green" if outcome.passed else _WRONG, soft_wrap=True)


def _print_absent(outcome: Outcome, console: Console) -> None:
    """Cases that this upstream has not, those with the same reason in one line."""
    names: dict[str, list[str]] = {}
    for case in outcome.cases:
        if case.verdict == "not in this upstream":
            names.setdefault("; ".join(case.findings), []).append(case.name)
    for reason, cases in names.items():
        console.print(f"{', '.join(cases)}: {reason}", soft_wrap=True, style="dim")


def _print_untaken(outcome: Outcome, console: Console) -> None:
    """Functions that should have taken a TPU's form."""
    if outcome.untaken:
        words = f"A TPU's forms were asked for, and no case took those of {', '.join(outcome.untaken)}."
        console.print(words, style=_WRONG, soft_wrap=True, markup=False)


def _print_fusions(outcome: Outcome, console: Console) -> None:
    """How many modules each kernel stood for, and why none did for others."""
    if "tpu" not in (outcome.forms, outcome.device):
        return
    known = [(case.name, one) for case in outcome.cases for one in case.fusions]
    if known:
        shares = _shares(one.kernel for _, one in known)
        console.print(f"Fused: {outcome.fused} modules{shares}.", highlight=False)
    others = [f"{name}, {one.path}: {one.reason}" for name, one in known if one.reason]
    for other in others[:_MOST]:
        console.print(f"Not fused: {other}.", soft_wrap=True, markup=False, highlight=False, style="dim")
    if len(others) > _MOST:
        console.print(f"Not fused: {len(others) - _MOST} more; --json has all.", style="dim", highlight=False)


def _shares(kernels: Iterable[str]) -> str:
    """How often each is there, in brackets; "" stands for none."""
    shares = ", ".join(f"{count} {kernel}" for kernel, count in sorted(Counter(filter(None, kernels)).items()))
    return f" ({shares})" if shares else ""


def _table(cases: Sequence[CaseOutcome], width: int) -> Table:
    """As many columns as fit; the name and the verdict always do."""
    columns = _fitting(_columns(cases), width)
    table = plain_table(*(column.heading for column in columns))
    for column, shown in zip(columns, table.columns, strict=True):
        shown.justify = "right" if column.right else "left"
        shown.no_wrap, shown.min_width = column.name != "case", column.width
    table.columns[0].min_width = min(_LEAST_NAME, columns[0].width)
    table.columns[0].overflow = "fold"
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    for spare in _SPARE:
        if sum(column.width + _GAP for column in columns) - _GAP <= width:
            break
        columns = [column for column in columns if column.name != spare]
    return columns


def _columns(cases: Sequence[CaseOutcome]) -> list[_Column]:
    verdicts = tuple(Text(case.verdict, _STYLES.get(case.verdict, _WRONG)) for case in cases)
    columns = [
        _Column("case", "case", tuple(Text(case.name) for case in cases)),
        _Column("verdict", "verdict", verdicts),
    ]
    columns += [_Column(group, group, tuple(_least(case.group(group)) for case in cases), True) for group in GROUPS]
    if any(case.budget for case in cases):
        by_figure = zip(FIGURES, zip(*map(_costs, cases), strict=True), strict=True)
        columns += [_Column(name, _COST_NAMES.get(name, name), cells, True) for name, cells in by_figure]
    spent = tuple(Text(f"{case.seconds:.0f}") for case in cases)
    return [*columns, _Column("spent", "total s", spent, True)]


def _least(reports: list[TensorReport]) -> Text:
    if not reports:
        return Text("–", "dim")
    return Text(decibels(least_db(most_telling(reports))), "" if all(report.passed for report in reports) else _WRONG)


def _narrow(cases: Sequence[CaseOutcome]) -> str:
    """What the table leaves out: the least ratio of each type that has few bits."""
    told = ""
    for dtype in NARROW:
        of_type = {case.name: [r for r in case.tensors if r.dtype == dtype and r.passed] for case in cases}
        ratios = {name: ratio for name, found in of_type.items() if (ratio := least_db(found)) is not None}
        if ratios:
            lowest = min(ratios, key=lambda name: ratios[name])
            told += f", those in {dtype} apart: {decibels(ratios[lowest])}, in {lowest}"
    return told


def _costs(case: CaseOutcome) -> list[Text]:
    if case.budget is None:
        return [Text("–", "dim")] * len(FIGURES)
    names = {"device-to-host transfers": "down", "host-to-device transfers": "up"}
    over = {names.get(overrun.figure, overrun.figure) for overrun in case.overruns}
    return [Text(text, _WRONG if name in over else "") for name, text in zip(FIGURES, costs(case.budget), strict=True)]


def _print_details(case: CaseOutcome, outcome: Outcome, console: Console) -> None:
    lines = [*case.findings, *_tensors(case)]
    if case.divergence:
        lines.append(f"first difference: {difference(case.divergence)}")
        lines += [f"  changed there: {origin}" for origin in case.divergence.edits[:_MOST]]
    lines += _overruns(case)
    if case.bisected:
        lines.append(case.bisected)
        lines += [f"  {culprit}" for culprit in case.culprits]
    lines += next_steps(case, outcome)
    if lines:
        console.print(Text.assemble("\n", (case.name, "bold"), ": ", (case.verdict, _STYLES.get(case.verdict, _WRONG))))
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _tensors(case: CaseOutcome) -> list[str]:
    """The tensors that are off, those first that no rounding of upstream's excuses."""
    lines = [f"{report.group} {report.name}: {distance(report)}" for report in case.worst(_MOST)]
    failed = sum(not report.passed for report in case.tensors)
    if failed > _MOST:
        lines.append(f"and {failed - _MOST} more tensors")
    excused = case.excused()
    lines += [f"{report.group} {report.name}: {distance(report)}" for report in excused[:_MOST]]
    if len(excused) > _MOST:
        lines.append(f"and {len(excused) - _MOST} more tensors that upstream rounds as much")
    return lines


def _overruns(case: CaseOutcome) -> list[str]:
    """What went over the budget, and the lines of code that did it."""
    lines = [str(overrun) for overrun in case.overruns[:_MOST]]
    for cost in case.costs[:_MOST]:
        side = "gradient of " if cost.backward else ""
        lines.append(f"  {cost.figure}: {cost.operator} x {cost.count}, {side}{cost.origin}")
    if case.drift and case.budget and case.budget.drift:
        drift = case.budget.drift
        lines.append(f"  compiles again: {drift.operator} at {case.drift}: {drift.first}, then {drift.second}")
    return lines


def _print_coverage(outcome: Outcome, console: Console) -> None:
    """How much of upstream the cases ran; nothing where only some cases were asked for."""
    total = outcome.validated + len(outcome.not_validated)
    if not total:
        return
    words = f"{outcome.validated} of {total} classes and functions that handle tensors validated"
    if outcome.host_only:
        words += f"; {len(outcome.host_only)} more never meet the device"
    console.print(f"{words}.", soft_wrap=True)
    if outcome.not_validated:
        names = ", ".join(outcome.not_validated)
        console.print(f"Not validated: {len(outcome.not_validated)}: {names}", soft_wrap=True, style=_WRONG)
    for name, reason in outcome.unfit.items():
        console.print(f"  {name}: {reason}", soft_wrap=True, markup=False, highlight=False, style="dim")
