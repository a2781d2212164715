"""How much of a distance is rounding that no order of summation avoids.

A sum whose terms cancel loses digits in float32 whoever adds it up, and two runs that are both right are far apart.
How far is measured, not guessed: upstream runs once more in float64, with the same weights, inputs, noise and kinks,
and its own float32 run is held against that. A port may be off by little more than upstream itself is (MARGIN).

One run of one order may be lucky, a sum of two numbers most of all. Where that does not settle it, the port runs in
float64 as well: if both agree there as float64 should, they compute the same function, and rounding is all there is.
Even then it may cost no more than EXCUSED beyond the limit: a port that rounds far worse than upstream is worse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from porter.validate.compare import TensorReport, compare_group, snr_db
from porter.validate.job import Told
from porter.validate.outcome import GROUPS, CaseOutcome
from porter.validate.tensors import read_groups

FILE = "rounding.json"
MARGIN = 10.0  # dB, about three times in amplitude: the port adds in another order, and may be less lucky
_FLOAT64 = 319.0  # dB that 53 bits carry
EXCUSED = 20.0  # dB below its limit, a factor of ten
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
    return _judged(outcome, (_relieved(r, ratios.get(f"{r.group}/{_plain(r)}")) for r in outcome.tensors))


def confirm(outcome: CaseOutcome, exact: Told, port: Told, folder: Path, device: str) -> CaseOutcome:
    """The outcome, tensors that agree in float64 being right; both sides' tensors in float64 are in `folder`."""
    old = read_groups(folder / "exact.safetensors", exact)
    new = read_groups(folder / "port_exact.safetensors", port)
    agreed: dict[tuple[str, str], TensorReport] = {}
    for group in GROUPS:
        dtypes = {name: str(value.dtype) for name, value in old.get(group, {}).items()}
        for report in compare_group(group, old.get(group, {}), new.get(group, {}), dtypes, device):
            if report.passed and report.dtype == "float64":
                agreed[group, report.name] = report
    return _judged(outcome, (_confirmed(r, agreed.get((r.group, _plain(r)))) for r in outcome.tensors))


def _judged(outcome: CaseOutcome, reports: Iterable[TensorReport]) -> CaseOutcome:
    tensors = tuple(reports)
    passed = not outcome.findings and all(report.passed for report in tensors)
    return replace(outcome, tensors=tensors, verdict="pass" if passed else outcome.verdict)


def _confirmed(report: TensorReport, exact: TensorReport | None) -> TensorReport:
    if report.passed or exact is None or report.snr_db is None or report.limit_db is None:
        return report
    if report.snr_db < report.limit_db - EXCUSED:
        return report
    # Equal to the last bit, as far as anyone can tell.
    ratio = _FLOAT64 if exact.snr_db is None else exact.snr_db
    return replace(report, passed=True, exact_db=ratio)


def _plain(report: TensorReport) -> str:
    """The name of a tensor without that of its variation, which is judged by what its base case costs."""
    return report.name.removeprefix(f"{report.variation}: ")


def _near(report: TensorReport) -> bool:
    ratio, limit = report.snr_db, report.limit_db
    return not report.problem and ratio is not None and limit is not None and ratio > limit - _HOPELESS


def _relieved(report: TensorReport, own: float | None) -> TensorReport:
    if report.passed or own is None or report.snr_db is None or report.limit_db is None or report.scale:
        return report
    limit = min(report.limit_db, own - MARGIN)
    return replace(report, own_db=own, limit_db=limit, passed=report.snr_db >= limit)
