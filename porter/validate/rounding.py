"""How much of a distance is rounding that no order of summation avoids.

A sum whose terms cancel loses digits in float32 whoever adds it up, and two runs that are both right are far apart.
How far is measured, not guessed: upstream runs once more in float64, with the same weights, inputs, noise and kinks,
and its own float32 run is held against that. A port may be off by little more than upstream itself is (MARGIN).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from porter.validate.compare import TensorReport, snr_db
from porter.validate.job import Told
from porter.validate.outcome import GROUPS, CaseOutcome
from porter.validate.tensors import read_groups

FILE = "rounding.json"
MARGIN = 10.0  # dB, about three times in amplitude: the port adds in another order, and may be less lucky
_HOPELESS = 60.0  # dB below its limit; rounding that leaves less is not told from a fault


def doubtful(outcome: CaseOutcome) -> bool:
    """Whether rounding may be all that speaks against a port: it is near everywhere, and beyond a limit somewhere."""
    failed = [report for report in outcome.tensors if not report.passed]
    return bool(failed) and not outcome.findings and all(_near(report) for report in failed)


def measure_rounding(reference: Told, exact: Told, folder: Path) -> None:
    """Write down how far upstream's run is from its own in float64, by `GROUP/NAME`, in dB; from their tensors."""
    old, true = (
        read_groups(folder / "reference.safetensors", reference),
        read_groups(folder / "exact.safetensors", exact),
    )
    found: dict[str, float] = {}
    for group in GROUPS:
        for name, value in old.get(group, {}).items():
            other = true.get(group, {}).get(name)
            if other is None or other.shape != value.shape or value.dtype.kind != "f":
                continue
            ratio = snr_db(other, value)
            if ratio is not None and math.isfinite(ratio):
                found[f"{group}/{name}"] = ratio
    (folder / FILE).write_text(json.dumps(found), encoding="utf-8")


def read_rounding(folder: Path) -> dict[str, float] | None:
    """What `measure_rounding` wrote; None where it did not."""
    path = folder / FILE
    if not path.is_file():
        return None
    told: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return told


def relieve(outcome: CaseOutcome, ratios: Mapping[str, float]) -> CaseOutcome:
    """The outcome with limits that know upstream's own rounding."""
    tensors = tuple(_relieved(report, ratios.get(f"{report.group}/{report.name}")) for report in outcome.tensors)
    passed = not outcome.findings and all(report.passed for report in tensors)
    return replace(outcome, tensors=tensors, verdict="pass" if passed else outcome.verdict)


def _near(report: TensorReport) -> bool:
    ratio, limit = report.snr_db, report.limit_db
    return not report.problem and ratio is not None and limit is not None and ratio > limit - _HOPELESS


def _relieved(report: TensorReport, own: float | None) -> TensorReport:
    if report.passed or own is None or report.snr_db is None or report.limit_db is None or report.scale:
        return report
    limit = min(report.limit_db, own - MARGIN)
    return replace(report, own_db=own, limit_db=limit, passed=report.snr_db >= limit)
