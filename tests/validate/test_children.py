"""Processes that abort or hang."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from porter.validate.children import Timeout, run_child
from porter.validate.job import Job, Told

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stands in for Python with a shell script")


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, seconds: float = 20) -> Told:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{script}\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    job = Job("port", "c", "cpu", "tiny", 0, 1, False, "module.tpu", (), (), None, str(tmp_path))
    return run_child(job, os.environ, seconds)


def test_an_abort_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(tmp_path, monkeypatch, "echo 'Check failed: no such op' >&2; kill -ABRT $$")
    assert told.error == "the process was killed by SIGABRT: Check failed: no such op"


def test_an_early_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, monkeypatch, "exit 3").error == "the process ended with status 3"


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"(sleep 2; touch {tmp_path}/alive) & sleep 60"
    with pytest.raises(Timeout) as late:
        run(tmp_path, monkeypatch, script, 0.5)
    assert late.value.told is None
    time.sleep(2.5)
    assert not (tmp_path / "alive").exists()


def test_what_was_reported_before_a_hang_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Told(draws=7).save(tmp_path / "kept.json")
    with pytest.raises(Timeout) as late:
        run(tmp_path, monkeypatch, f"cp {tmp_path}/kept.json {tmp_path}/port.json; sleep 60", 1)
    assert late.value.told is not None
    assert late.value.told.draws == 7
