"""Comparing tensors."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("numpy", reason="needs numpy (the extra xla)")

import numpy as np
import numpy.typing as npt

from porter.validate.compare import Arrays, TensorReport, compare_group, least, least_db, most_telling, snr_db

RANDOM = np.random.default_rng(0)
FLOAT = {"a": "float32", "b": "float32", "m.k.weight": "float32", "m.k.bias": "float32"}


def values(*shape: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


def compare(old: Arrays, new: Arrays, group: str = "results") -> dict[str, TensorReport]:
    return {r.name: r for r in compare_group(group, old, new, FLOAT, "xla")}


def test_equal_tensors_pass() -> None:
    a = values(5, 3)
    report = compare({"a": a}, {"a": a.copy()})["a"]
    assert report.passed
    assert report.snr_db is None
    assert report.max_abs == 0


def test_noise_is_told_in_db() -> None:
    a = np.ones(1000, np.float64)
    assert snr_db(a, a * 1.001) == pytest.approx(60, abs=0.01)
    report = compare({"a": a.astype(np.float32)}, {"a": (a * 1.001).astype(np.float32)})["a"]
    assert not report.passed
    assert report.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert report.max_rel == pytest.approx(1e-3, rel=1e-2)


def test_rounding_passes() -> None:
    a = values(1000)
    assert compare({"a": a}, {"a": a * np.float32(1 + 1e-6)})["a"].passed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_values_fail(bad: float) -> None:
    a = values(10)
    b = a.copy()
    b[3] = bad
    assert not compare({"a": a}, {"a": b})["a"].passed
    assert not compare({"a": b}, {"a": a})["a"].passed
    assert compare({"a": b}, {"a": b.copy()})["a"].passed


def test_infinite_values_of_other_signs_fail() -> None:
    a, b = np.array([1, np.inf], np.float32), np.array([1, -np.inf], np.float32)
    assert not compare({"a": a}, {"a": b})["a"].passed


def test_integers_are_compared_exactly() -> None:
    a, b = np.array([1, 2, 3]), np.array([1, 2, 4])
    assert compare({"a": a}, {"a": a})["a"].passed
    report = compare({"a": a}, {"a": b})["a"]
    assert not report.passed
    assert report.problem == "1 of 3 values differ"


def test_missing_added_and_reshaped() -> None:
    reports = compare({"a": values(3), "b": values(3)}, {"b": values(4), "c": values(1)})
    assert reports["a"].problem == "the port lacks it"
    assert reports["b"].problem == "shape [4], not [3]"
    assert reports["c"].problem == "only the port has it"
    assert not any(r.passed for r in reports.values())
    assert least_db(reports.values()) == -math.inf


def test_ratios_of_types_with_few_bits_are_told_where_they_fail() -> None:
    plain = TensorReport("results", "a", (1,), "float32", True, snr_db=127.0)
    cast = TensorReport("results", "bfloat16: a", (1,), "bfloat16", True, snr_db=40.0, variation="bfloat16")
    wrong = TensorReport("results", "bfloat16: b", (1,), "bfloat16", False, snr_db=12.0, variation="bfloat16")
    assert least([plain, cast]) is cast
    assert least_db(most_telling([plain, cast])) == 127
    assert least_db(most_telling([plain, cast, wrong])) == 12
    assert least_db(most_telling([cast])) == 40


def test_a_tensor_that_is_zero_is_measured_against_its_siblings() -> None:
    weight = values(64, 64)
    old = {"m.k.weight": weight, "m.k.bias": values(64, scale=1e-7)}
    new = {"m.k.weight": weight, "m.k.bias": values(64, scale=1e-7)}
    report = compare(old, new, "gradients")["m.k.bias"]
    assert report.passed
    assert report.scale == "m.k.*"
    new["m.k.bias"] = values(64, scale=1e-2)
    assert not compare(old, new, "gradients")["m.k.bias"].passed


def test_a_quiet_part_of_the_model_is_judged_by_itself() -> None:
    old = {"loud.weight": values(64), "quiet.weight": values(64, scale=1e-9), "quiet.bias": values(8, scale=1e-9)}
    new = {**old, "quiet.weight": old["quiet.weight"] * np.float32(1.01)}
    report = compare(old, new, "gradients")["quiet.weight"]
    assert report.scale == ""
    assert not report.passed


def test_one_gradient_that_is_off_fails() -> None:
    old = {f"m{n}.weight": values(400) for n in range(40)}
    reports = compare(old, {**old, "m3.weight": old["m3.weight"] * np.float32(1 + 4e-4)}, "gradients")  # 68 dB
    assert [name for name, report in reports.items() if not report.passed] == ["m3.weight"]


def test_zero_on_one_side_fails() -> None:
    a = values(8)
    assert not compare({"a": a}, {"a": np.zeros_like(a)})["a"].passed
    assert not compare({"a": np.zeros_like(a)}, {"a": a})["a"].passed


def test_empty_tensors_pass() -> None:
    assert compare({"a": values(0)}, {"a": values(0)})["a"].passed
