"""The page: what the template shows, worked out of an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from porter import __version__
from porter.validate.budget import Budget
from porter.validate.compare import TensorReport, least_db, most_telling
from porter.validate.html.listening import Listening, listening
from porter.validate.html.plots import Bar, Ratios, Value, bars, ratios
from porter.validate.outcome import GROUPS, CaseOutcome, Outcome, Verdict
from porter.validate.sourcemap import Origin
from porter.validate.wording import FIGURES, costs, decibels, difference, distance, next_steps, number, setting, summary
from porter.views.html import environment, today

_TONES: dict[Verdict, str] = {
    "pass": "good",
    "mismatch": "bad",
    "over budget": "bad",
    "error": "bad",
    "timeout": "bad",
    "not in this upstream": "absent",
}
_CLOSEST = 10  # passing tensors in a table, those with the least room


@dataclass(frozen=True)
class Cell:
    """One text of a table."""

    text: str
    bad: bool = False


@dataclass(frozen=True)
class Place:
    """A line to look at, and why."""

    what: str
    origin: Origin


@dataclass(frozen=True)
class CasePage:
    """One case."""

    id: str
    name: str
    verdict: str
    tone: str
    findings: tuple[str, ...]
    divergence: str
    places: tuple[Place, ...]
    cells: tuple[Cell, ...]  # least ratio of each group, compiles, seconds
    plot: Ratios | None
    tensors: tuple[TensorReport, ...]  # in the table: all that failed, then those with the least room
    failed: int
    total: int
    steps: tuple[Bar, ...]
    costs: tuple[tuple[str, Cell], ...]
    sounds: tuple[Listening, ...]


def render(outcome: Outcome) -> str:
    """The whole page. It holds everything that it shows."""
    templates = environment(Path(__file__).parent / "templates")
    templates.filters |= {"decibels": decibels, "distance": distance, "number": number}
    cases = [_case(case, f"case-{index}", outcome) for index, case in enumerate(outcome.cases)]
    cases.sort(key=lambda case: case.tone != "bad")  # what is wrong comes first
    return templates.get_template("page.html.j2").render(
        outcome=outcome,
        version=__version__,
        date=today(),
        setting=setting(outcome),
        summary=summary(outcome.cases),
        cases=cases,
        headings=(*GROUPS, *_COST_HEADINGS, "total s"),
        tiles=_tiles(outcome),
        overview=ratios(_worst_of_cases(outcome.cases), "cases"),
        steps=_all_steps(outcome.cases),
    )


_COST_HEADINGS = tuple("step s" if name == "seconds" else name for name in FIGURES)


def _case(case: CaseOutcome, anchor: str, outcome: Outcome) -> CasePage:
    failed = [report for report in case.tensors if not report.passed]
    close = sorted((report for report in case.tensors if report.passed), key=_room)[:_CLOSEST]
    return CasePage(
        id=anchor,
        name=case.name,
        verdict=case.verdict,
        tone=_TONES[case.verdict],
        findings=(
            *case.findings,
            *(str(overrun) for overrun in case.overruns),
            *filter(None, [case.bisected]),
            *next_steps(case, outcome),
        ),
        divergence=difference(case.divergence) if case.divergence else "",
        places=tuple(_places(case)),
        cells=(*(_least(case.group(group)) for group in GROUPS), *_cost_cells(case), Cell(f"{case.seconds:.0f}")),
        plot=ratios([_value(report) for report in case.tensors], "tensors"),
        tensors=(*sorted(failed, key=_room), *close),
        failed=len(failed),
        total=len(case.tensors),
        steps=_steps(case.budget),
        costs=_costs(case),
        sounds=tuple(listening(sound) for sound in case.sounds),
    )


def _places(case: CaseOutcome) -> list[Place]:
    places = [Place("edit to blame", Origin(c.target, c.upstream, c.rule, c.reason)) for c in case.culprits]
    places += [Place("edit near the first difference", origin) for origin in _edits(case)]
    for cost in case.costs:
        side = "gradient of " if cost.backward else ""
        places.append(Place(f"{cost.figure}: {side}{cost.operator} × {cost.count}", cost.origin))
    if case.drift and case.budget and case.budget.drift:
        drift = case.budget.drift
        places.append(Place(f"compiles again: {drift.operator} of {drift.first}, then {drift.second}", case.drift))
    return places


def _edits(case: CaseOutcome) -> tuple[Origin, ...]:
    return case.divergence.edits if case.divergence else ()


def _least(reports: Sequence[TensorReport]) -> Cell:
    if not reports:
        return Cell("–")
    failed = sum(not report.passed for report in reports)
    text = decibels(least_db(most_telling(reports)))
    return Cell(f"{text}, {failed} of {len(reports)} fail" if failed else text, bool(failed))


def _cost_cells(case: CaseOutcome) -> tuple[Cell, ...]:
    """What XLA counted, a cell for each of FIGURES."""
    told = _costs(case)
    return tuple(cell for _, cell in told) if told else (Cell("–"),) * len(FIGURES)


def _steps(budget: Budget | None) -> tuple[Bar, ...]:
    counts = [step.compiles for step in budget.steps] if budget else []
    limits = [budget.compile_limit(step) for step in range(len(counts))] if budget else []
    return bars(counts, limits, "graphs compiled") if counts else ()


def _all_steps(cases: Sequence[CaseOutcome]) -> tuple[Bar, ...]:
    """Compiles of all cases together."""
    budgets = [case.budget for case in cases if case.budget]
    count = max((len(budget.steps) for budget in budgets), default=0)
    totals, limits = [], []
    for step in range(count):
        there = [budget for budget in budgets if step < len(budget.steps)]
        totals.append(sum(budget.steps[step].compiles for budget in there))
        limits.append(sum(budget.compile_limit(step) for budget in there))
    return bars(totals, limits, "graphs compiled in all cases") if count else ()


def _costs(case: CaseOutcome) -> tuple[tuple[str, Cell], ...]:
    if case.budget is None:
        return ()
    over = {overrun.figure for overrun in case.overruns}
    long = {"down": "device-to-host transfers", "up": "host-to-device transfers"}
    names = [long.get(name, name) for name in FIGURES]
    return tuple((name, Cell(text, name in over)) for name, text in zip(names, costs(case.budget), strict=True))


def _tiles(outcome: Outcome) -> list[tuple[str, Cell]]:
    """The figures at the top."""
    judged = outcome.judged
    passed = sum(case.verdict == "pass" for case in judged)
    tiles = [("cases pass", Cell(f"{passed} of {len(judged)}", passed < len(judged)))]
    tiles += _ratio_tiles(judged)
    budgets = [case.budget for case in judged if case.budget]
    if budgets:
        later = sum(step.compiles for budget in budgets for step in budget.steps[1:])
        tiles.append(("compiles after the first step", Cell(str(later), later > 0)))
    if outcome.not_validated or outcome.host_only:
        tiles.append(("not validated", Cell(str(len(outcome.not_validated)), bool(outcome.not_validated))))
    return tiles


def _ratio_tiles(cases: Sequence[CaseOutcome]) -> Iterator[tuple[str, Cell]]:
    for group in GROUPS:
        reports = [report for case in cases for report in case.group(group)]
        if reports:
            text = decibels(least_db(most_telling(reports)))
            yield f"least ratio, {group}", Cell(text, not all(report.passed for report in reports))


def _worst_of_cases(cases: Sequence[CaseOutcome]) -> list[Value]:
    """Of each case the tensor with the least room above its limit; no match for a case that did not get so far."""
    values = []
    for index, case in enumerate(cases):
        if case.verdict == "not in this upstream":
            continue
        family = case.name.partition(".")[0]
        value = Value(family, f"{case.name}: {case.verdict}", -math.inf, None, case.passed, f"#case-{index}")
        if case.tensors:
            worst = _value(min(case.tensors, key=_room))
            title = f"{case.name}: {worst.title}"
            value = replace(value, title=title, decibels=worst.decibels, limit=worst.limit)
        values.append(value)
    return values


def _value(report: TensorReport) -> Value:
    ratio = -math.inf if report.problem else report.snr_db
    return Value(
        report.group, f"{report.group} {report.name}: {distance(report)}", ratio, report.limit_db, report.passed
    )


def _room(report: TensorReport) -> float:
    """How far a tensor is above its limit, in dB."""
    if report.problem:
        return -math.inf
    return math.inf if report.snr_db is None else report.snr_db - (report.limit_db or 0)
