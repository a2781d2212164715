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

from safetensors.numpy import load_file

from porter.validate.compare import Arrays, TensorReport, compare_group, snr_db
from porter.validate.job import Told
from porter.validate.judge_varied import part
from porter.validate.outcome import GROUPS, CaseOutcome
from porter.validate.tensors import read_groups
from porter.validate.tolerances import NEGLIGIBLE

FILE = "rounding.json"
MARGIN = 10.0  # dB, about three times in amplitude: the port adds in another order, and may be less lucky
_FLOAT64 = 319.0  # dB that 53 bits carry
EXCUSED = 20.0  # dB below its limit, a factor of ten
_HOPELESS = 60.0  # dB below its limit; rounding that leaves less is not told from a fault


def doubtful(outcome: CaseOutcome) -> bool:
    """Whether rounding may be all that speaks against a port: it is near everywhere, and beyond a limit somewhere."""
    failed = [report for report in outcome.tensors if not report.passed]
    return bool(failed) and not outcome.findings and all(_near(r) or _is_tiny(r, outcome) for r in failed)


def measure_rounding(reference: Told, exact: Told, folder: Path) -> None:
    """Write down how far upstream's run is from its own in float64, in dB; from their tensors.

    By `GROUP/NAME`, and by `VARIATION/GROUP/NAME` where variations were run in float64 as well.
    """
    old, true = (
        read_groups(folder / "reference.safetensors", reference),
        read_groups(folder / "exact.safetensors", exact),
    )
    found: dict[str, float] = {}
    for group in GROUPS:
        found |= _distances(f"{group}/", old.get(group, {}), true.get(group, {}))
    if exact.varied:
        found |= _distances("", load_file(folder / _varied("reference")), load_file(folder / _varied("exact")))
    (folder / FILE).write_text(json.dumps(found), encoding="utf-8")


def _distances(prefix: str, old: Arrays, true: Arrays) -> dict[str, float]:
    """How far tensors are from those in float64, in dB; equal ones, and what is not finite, are left out."""
    found = {}
    for name, value in old.items():
        other = true.get(name)
        if other is None or other.shape != value.shape or value.dtype.kind != "f":
            continue
        ratio = snr_db(other, value)
        if ratio is not None and math.isfinite(ratio):
            found[f"{prefix}{name}"] = ratio
    return found


def read_rounding(folder: Path) -> dict[str, float] | None:
    """What `measure_rounding` wrote; None where it did not."""
    path = folder / FILE
    if not path.is_file():
        return None
    told: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return told


def relieve(outcome: CaseOutcome, ratios: Mapping[str, float]) -> CaseOutcome:
    """The outcome with limits that know upstream's own rounding."""

    def own(report: TensorReport) -> float | None:
        plain = f"{report.group}/{_plain(report)}"
        return ratios.get(f"{report.variation}/{plain}", ratios.get(plain))

    return _judged(outcome, (_relieved(report, own(report)) for report in outcome.tensors))


def confirm(outcome: CaseOutcome, exact: Told, port: Told, folder: Path, device: str) -> CaseOutcome:
    """The outcome, tensors that agree in float64 being right; both sides' tensors in float64 are in `folder`."""
    old = read_groups(folder / "exact.safetensors", exact)
    new = read_groups(folder / "port_exact.safetensors", port)
    agreed: dict[tuple[str, str, str], TensorReport] = {}
    for group in GROUPS:
        for report in _agreed(group, old.get(group, {}), new.get(group, {}), device):
            agreed["", group, report.name] = report
    if exact.varied and port.varied:
        old_varied, new_varied = load_file(folder / _varied("exact")), load_file(folder / _varied("port_exact"))
        for variation in exact.varied:
            for group in GROUPS:
                prefix = f"{variation}/{group}/"
                for report in _agreed(group, part(old_varied, prefix), part(new_varied, prefix), device):
                    agreed[variation, group, report.name] = report

    def found(report: TensorReport) -> TensorReport | None:
        variation = report.variation if report.variation in exact.varied else ""
        return agreed.get((variation, report.group, _plain(report)))

    return _judged(outcome, (_confirmed(report, found(report)) for report in outcome.tensors))


def _agreed(group: str, old: Arrays, new: Arrays, device: str) -> list[TensorReport]:
    """The tensors of a group that agree in float64."""
    dtypes = {name: str(value.dtype) for name, value in old.items()}
    reports = compare_group(group, old, new, dtypes, device)
    return [report for report in reports if report.passed and report.dtype == "float64"]


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


def _is_tiny(report: TensorReport, outcome: CaseOutcome) -> bool:
    """Whether a tensor is next to nothing beside the others of its group: float32 may be as far off as it is large."""
    others = [other for other in outcome.group(report.group) if other.variation in ("", report.variation)]
    most = max((_magnitude(other) for other in others), default=0.0)
    return not report.problem and 0 < _magnitude(report) < NEGLIGIBLE * most


def _magnitude(report: TensorReport) -> float:
    """Upstream's largest value, 0 where the two sides are equal, which tells nothing of it."""
    return report.max_abs / report.max_rel if report.max_abs and report.max_rel else 0.0


def _varied(role: str) -> str:
    return f"{role}.varied.safetensors"


def _relieved(report: TensorReport, own: float | None) -> TensorReport:
    if report.passed or own is None or report.snr_db is None or report.limit_db is None or report.scale:
        return report
    limit = min(report.limit_db, own - MARGIN)
    return replace(report, own_db=own, limit_db=limit, passed=report.snr_db >= limit)
