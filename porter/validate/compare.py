"""Comparing two runs tensor by tensor; on numpy arrays, so that the parent process needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from porter.validate.tolerances import NARROW, NEGLIGIBLE, negligible, tolerance

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class TensorReport:
    """How far one tensor of the port is from upstream's."""

    group: str
    name: str
    shape: tuple[int, ...]
    dtype: str  # upstream's
    passed: bool
    max_abs: float | None = None  # largest absolute difference
    max_rel: float | None = None  # that, as a part of upstream's largest magnitude
    snr_db: float | None = None  # None where both are equal, bit by bit
    limit_db: float | None = None
    scale: str = ""  # whose magnitude the noise is measured against, where it is not the tensor's own
    own_db: float | None = None  # upstream's float32 from its own float64, where rounding decides (rounding.py)
    exact_db: float | None = None  # the same of both sides in float64
    problem: str = ""  # what is wrong, where it is not the distance
    variation: str = ""  # under which variation of the case, "" for none


def compare_group(
    group: str, reference: Arrays, port: Arrays, dtypes: Mapping[str, str], device: str, slack: float = 0.0
) -> list[TensorReport]:
    """Reports on all tensors of a group, in the order of `reference`, then those that only the port has.

    A tensor that is mathematically zero (the gradient of an attention's key bias, for one, which softmax
    ignores) is nothing but rounding noise on both sides, so its own magnitude says nothing. One that is below
    NEGLIGIBLE times that of its siblings, the other tensors of the same submodule, is measured against theirs
    (or of those in the submodule around, where it has none). No further: whole parts of a model may well get
    small gradients. `slack` is taken off the limits, in dB.
    """
    scales = _Scales(reference)
    result = [_compare(group, name, reference, port, dtypes, device, scales, slack) for name in reference]
    for name in port:
        if name not in reference:
            result.append(TensorReport(group, name, tuple(port[name].shape), "", False, problem="only the port has it"))
    return result


def snr_db(reference: Array, port: Array, scale: float | None = None) -> float | None:
    """Signal-to-noise ratio in dB, the signal being `scale` or the rms of `reference`; None for equal arrays.

    Zero signal gives -inf. Non-finite differences give -inf as well.
    """
    with np.errstate(all="ignore"):
        noise = rms(port.astype(np.float64) - reference.astype(np.float64))
    if noise == 0:
        return None
    signal = rms(reference) if scale is None else scale
    if not math.isfinite(noise) or not math.isfinite(signal) or signal == 0:
        return -math.inf
    return 20 * math.log10(signal / noise)


def rms(values: Array) -> float:
    """Root of the mean square, 0 for an empty array."""
    if values.size == 0:
        return 0.0
    return float(np.sqrt(np.mean(np.square(np.abs(values.astype(np.float64))))))


def least(reports: Iterable[TensorReport]) -> TensorReport | None:
    """The one with the lowest ratio, None where all are equal; tensors that cannot be compared come first."""
    found = [report for report in reports if report.problem or report.snr_db is not None]
    return min(found, key=_ratio, default=None)


def least_db(reports: Iterable[TensorReport]) -> float | None:
    """The lowest ratio, None where all are equal; of tensors that cannot be compared -inf."""
    found = least(reports)
    return None if found is None else _ratio(found)


def most_telling(reports: Sequence[TensorReport]) -> Sequence[TensorReport]:
    """Those whose least ratio says how far a port is off: what fails, else what is in float32 or finer.

    Under bfloat16 autocast, and in what is stored in float16, ratios are low whoever computes.
    """
    failed = [report for report in reports if not report.passed]
    return failed or [report for report in reports if report.dtype not in NARROW] or reports


def _ratio(report: TensorReport) -> float:
    return -math.inf if report.problem or report.snr_db is None else report.snr_db


def _compare(
    group: str,
    name: str,
    reference: Arrays,
    port: Arrays,
    dtypes: Mapping[str, str],
    device: str,
    scales: _Scales,
    slack: float,
) -> TensorReport:
    old = reference[name]
    dtype = dtypes.get(name, str(old.dtype))
    shape = tuple(old.shape)
    if name not in port:
        return TensorReport(group, name, shape, dtype, False, problem="the port lacks it")
    new = port[name]
    if new.shape != old.shape:
        return TensorReport(group, name, shape, dtype, False, problem=f"shape {list(new.shape)}, not {list(old.shape)}")
    if old.dtype.kind in "iub":
        wrong = int(np.count_nonzero(old != new))
        problem = f"{wrong} of {old.size} values differ" if wrong else ""
        return TensorReport(group, name, shape, dtype, not wrong, problem=problem)
    if np.array_equal(old, new):  # most are, eagerly on the CPU, and nothing has to be measured
        limit = tolerance(device, dtype).of(group)
        return TensorReport(group, name, shape, dtype, True, 0.0, 0.0 if old.any() else None, limit_db=limit)
    bad = np.isfinite(old) != np.isfinite(new)
    if bad.any() or not np.array_equal(old[~np.isfinite(old)], new[~np.isfinite(old)], equal_nan=True):
        return TensorReport(group, name, shape, dtype, False, problem="infinite or NaN on one side only")
    finite = np.isfinite(old)
    old, new = np.where(finite, old, 0), np.where(finite, new, 0)
    return _distance(group, name, old, new, dtype, tolerance(device, dtype).of(group) - slack, scales)


def _distance(group: str, name: str, old: Array, new: Array, dtype: str, limit: float, scales: _Scales) -> TensorReport:
    difference = np.abs(new.astype(np.float64) - old.astype(np.float64))
    largest = float(difference.max(initial=0.0))
    magnitude = float(np.abs(old).max(initial=0.0))
    sibling, scale = scales.of(name, negligible(dtype))
    ratio = snr_db(old, new, scale)
    return TensorReport(
        group=group,
        name=name,
        shape=tuple(old.shape),
        dtype=dtype,
        passed=ratio is None or ratio >= limit,
        max_abs=largest,
        max_rel=largest / magnitude if magnitude else None,
        snr_db=ratio,
        limit_db=limit,
        scale=sibling,
    )


class _Scales:
    """Magnitudes of a group's tensors and of the tensors beside them."""

    def __init__(self, tensors: Arrays) -> None:
        self._tensors = {name: value for name, value in tensors.items() if value.dtype.kind == "f"}
        self._rms: dict[str, float] = {}
        self._families: dict[str, list[tuple[str, int]]] = {}
        for name in self._tensors:
            for prefix in _around(name):
                self._families.setdefault(prefix, []).append((name, tensors[name].size))

    def of(self, name: str, least: float = NEGLIGIBLE) -> tuple[str, float | None]:
        """Family and magnitude to measure a tensor's noise against; ("", None) for its own."""
        own = self._magnitude(name) if name in self._tensors else 0.0
        for prefix in _around(name):
            family = [(self._magnitude(other), size) for other, size in self._families[prefix] if other != name]
            if family:
                scale = math.sqrt(sum(r * r * n for r, n in family) / max(1, sum(n for _, n in family)))
                return (f"{prefix}.*" if prefix else "all", scale) if own < least * scale else ("", None)
        return "", None

    def _magnitude(self, name: str) -> float:
        if name not in self._rms:
            value = self._tensors[name]
            self._rms[name] = rms(np.where(np.isfinite(value), value, 0))
        return self._rms[name]


def _around(name: str) -> list[str]:
    """The submodules around a tensor, innermost first; "" is everything."""
    parts = name.split(".")[:-1]
    return [".".join(parts[:count]) for count in range(len(parts), -1, -1)]
