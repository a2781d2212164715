"""What validation found, for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from porter.validate.compare import TensorReport, least, least_db
from porter.validate.outcome import GROUPS, CaseOutcome, Outcome
from porter.views.plain import plain

if TYPE_CHECKING:
    from porter.answers import ValidateAnswer
    from porter.answers.runs import CaseRecord, GroupRecord


def to_json(outcome: Outcome) -> dict[str, Any]:
    """One object for machines. Ratios in dB: null where both sides are equal, -1000 for no likeness."""
    told: ValidateAnswer = {
        "upstream": {"spec": outcome.upstream, "revision": outcome.revision},
        "port": outcome.port,
        "device": outcome.device,
        "forms": outcome.forms,
        "preset": outcome.preset,
        "seed": outcome.seed,
        "versions": outcome.versions,
        "reference": outcome.reference,
        "passed": outcome.passed,
        "validated": outcome.validated,
        "fused": outcome.fused,
        "not_judged": list(outcome.not_judged),
        "untaken": list(outcome.untaken),
        "edited_by_hand": list(outcome.by_hand),
        "stopped": outcome.stopped,
        "not_validated": list(outcome.not_validated),
        "unfit": [{"name": name, "reason": reason} for name, reason in outcome.unfit.items()],
        "host_only": [{"name": name, "reason": reason} for name, reason in outcome.host_only],
        "cases": [_case_json(case) for case in outcome.cases],
    }
    finite = _finite(plain(told))
    assert isinstance(finite, dict)
    return finite


def _case_json(case: CaseOutcome) -> CaseRecord:
    return {
        "name": case.name,
        "verdict": case.verdict,
        "backend": case.backend,
        "findings": list(case.findings),
        "draws": case.draws,
        "fusions": list(case.fusions),
        "fitted": case.fitted,
        "groups": {name: _group_json(case.group(name)) for name in GROUPS},
        "divergence": case.divergence,
        "budget": case.budget,
        "overruns": list(case.overruns),
        "costs": list(case.costs),
        "drift": case.drift,
        "culprits": list(case.culprits),
        "bisected": case.bisected,
        "seconds": round(case.seconds, 1),
    }


def _group_json(reports: Sequence[TensorReport]) -> GroupRecord:
    lowest = least(reports)
    return {
        "count": len(reports),
        "failed": sum(not report.passed for report in reports),
        "least_db": least_db(reports),
        "least_variation": "" if lowest is None else lowest.variation,
        "tensors": list(reports),
    }


def _finite(value: object) -> object:
    """JSON knows no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return -1000.0 if value < 0 else 1000.0
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
