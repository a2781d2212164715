"""What `bench` measured, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from porter.validate.bench.outcome import BenchOutcome, Figures, SideFigures, ratios
from porter.views.plain import plain

if TYPE_CHECKING:
    from porter.answers import BenchAnswer
    from porter.answers.runs import SideRecord


def to_json(outcome: BenchOutcome) -> dict[str, Any]:
    """One object for machines. Figures that a side did not reach are null."""
    told: BenchAnswer = {
        "upstream": {"spec": outcome.upstream, "revision": outcome.revision},
        "port": outcome.port,
        "other": outcome.other or None,
        "preset": outcome.preset,
        "steps": outcome.steps,
        "timeout": outcome.timeout,
        "versions": outcome.versions,
        "passed": outcome.passed,
        "cases": [
            {
                "name": case.name,
                "unavailable": case.unavailable,
                "problem": case.problem,
                "sides": {side.side: _side_json(side, case.side("unported")) for side in case.sides},
            }
            for case in outcome.cases
        ],
    }
    answer: dict[str, Any] = plain(told)
    return answer


def _side_json(side: SideFigures, unported: SideFigures | None) -> SideRecord:
    told: SideRecord = {
        "verdict": side.verdict,
        "error": side.error,
        "where": side.where,
        "findings": list(side.findings),
        "backend": side.backend,
        "seconds": round(side.seconds, 1),
        "first": _copy(side.first),
        "later": _copy(side.later),
        "later_seconds": {"least": side.spread[0], "most": side.spread[1]} if side.spread else None,
        "steps": list(side.steps),
    }
    if unported is not None and side.side != "unported":
        told["ratios"] = {"first": ratios(side.first, unported.first), "later": ratios(side.later, unported.later)}
    return told


def _copy(figures: Figures | None) -> dict[str, float] | None:
    return None if figures is None else dict(figures)
