"""Counting and replaying on XLA, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xla
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.validate.xla_checks"],
        cwd=ROOT,
        env={**os.environ, "PJRT_DEVICE": "CPU"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def events(told: dict[str, Any], name: str, figure: str) -> list[tuple[str, str, bool]]:
    return [(e["operator"], e["where"], e["backward"]) for e in told[name]["events"] if e["figure"] == figure]


def test_a_good_model_is_within_budget(told: dict[str, Any]) -> None:
    good = told["Good"]
    assert good["overruns"] == []
    assert [step["compiles"] for step in good["steps"]] == [1, 0, 0, 0]
    assert [step["executions"] for step in good["steps"]] == [1, 1, 1, 1]
    assert [step["uploads"] for step in good["steps"][1:]] == [3, 3, 3]  # the batch and the seed


def test_a_host_sync_is_counted_and_found(told: dict[str, Any]) -> None:
    assert "1 host syncs in the first step, where none may be" in told["Item"]["overruns"]
    place = f"xla_checks.py:{told['lines']['SYNC']}"
    assert events(told, "Item", "host syncs") == [("aten::_local_scalar_dense", place, False)]


def test_a_fallback_is_counted_and_found_forward_and_backward(told: dict[str, Any]) -> None:
    overruns = told["Fallback"]["overruns"]
    assert "1 fallbacks of aten::upsample_nearest1d in the first step, where none may be" in overruns
    place = f"xla_checks.py:{told['lines']['FALLBACK']}"
    assert set(events(told, "Fallback", "fallbacks")) == {
        ("aten::upsample_nearest1d", place, False),
        ("aten::upsample_nearest1d_backward", place, True),
    }


def test_a_new_shape_compiles_anew_and_is_found(told: dict[str, Any]) -> None:
    assert told["NewShape"]["overruns"][0] == "1 compiles in step 2, where none may be"
    drift = told["NewShape"]["drift"]
    assert drift["operator"] in ("aten::slice", "aten::slice_copy")
    assert drift["where"] == f"xla_checks.py:{told['lines']['SHAPE']}"
    assert drift["first"] != drift["second"]


def test_noise_is_replayed_on_the_device(told: dict[str, Any]) -> None:
    assert {name: error for name, error in told["replay"].items() if error > 1e-5} == {}


@pytest.mark.parametrize("first", ["measured", "replayed"])
def test_later_steps_begin_where_the_first_ended_and_compile_nothing(told: dict[str, Any], first: str) -> None:
    found = told["steps"][first]
    assert found["verdicts"] == ["pass, 0", "pass, 2"]
    assert found["compiles"][1] == 0, "what runs without variations compiled it all"
