"""What `validate` found as findings: a failed case each, at the line that is to blame where one is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..validate.wording import distance
from .sarif import Finding

if TYPE_CHECKING:
    from ..validate.outcome import CaseOutcome, Outcome
    from ..validate.sourcemap import Origin


def validate_findings(outcome: Outcome) -> list[Finding]:
    """One for each case that speaks against the port. Line 0: no line is known, and the path is the case's name.

    And one for each function of the package that took no form of a TPU's, at its file.
    """
    untaken = [
        Finding(
            "untaken", "error", f"{place.partition(':')[2]} took a TPU's form in no case", place.partition(":")[0], 0
        )
        for place in outcome.untaken
    ]
    return [*(_finding(case) for case in outcome.cases if not case.passed), *untaken]


def passed_cases(outcome: Outcome) -> list[str]:
    """Names of the cases that this upstream has, and that speak for the port."""
    return [case.name for case in outcome.cases if case.verdict == "pass"]


def _finding(case: CaseOutcome) -> Finding:
    words = [*case.findings, *(f"{report.group} {report.name}: {distance(report)}" for report in case.worst(1))]
    words += [str(overrun) for overrun in case.overruns[:1]]
    where = next((place for origin in _origins(case) if (place := _place(origin))), None)
    message = f"{case.name}: {case.verdict}" + (f": {words[0]}" if words else "")
    return Finding(case.verdict, "error", message, *(where or (case.name, 0)))


def _origins(case: CaseOutcome) -> Iterator[Origin]:
    """Lines that have to do with it, the likeliest first."""
    if case.drift is not None:
        yield case.drift
    yield from (cost.origin for cost in case.costs)
    if case.divergence is not None:
        yield from case.divergence.edits


def _place(origin: Origin) -> tuple[str, int] | None:
    path, _, line = origin.upstream.rpartition(":")
    return (path, int(line)) if path and line.isdecimal() else None
