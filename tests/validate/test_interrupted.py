"""A run that is told to stop leaves nothing behind, no process and no temporary folder, and tells what ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

from porter.validate.judge import Judge
from porter.validate.outcome import CaseOutcome

from .tiny import MODELS, write_port, write_upstream

CASE = "synthesizer.v2.forward"
SLEEPING = MODELS.replace("        mask = commons", "        import time; time.sleep(120)\n        mask = commons", 1)
SECONDS = 60


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_cleans_up(tmp_path: Path, sent: signal.Signals, status: int) -> None:
    upstream = write_upstream(tmp_path / "upstream", SLEEPING)
    port = write_port(upstream, tmp_path / "port")
    (tmp_path / "temporary").mkdir()
    arguments = [str(upstream), str(port), "--device", "cpu", "--preset", "tiny", "--case", CASE]
    # Shells let background jobs ignore SIGINT, and a child inherits that.
    started = subprocess.Popen(
        [sys.executable, "-m", "porter", "validate", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert started.stderr is not None
    deadline = time.monotonic() + SECONDS
    while not list((tmp_path / "temporary").glob("*/cases/*/reference.log")):
        assert started.poll() is None and time.monotonic() < deadline, started.stderr.read()
        time.sleep(0.1)
    started.send_signal(sent)
    printed, said = started.communicate(timeout=SECONDS)
    assert started.returncode == status
    assert b"Traceback" not in said
    assert b"1 cases that had not ended" in printed
    assert b"Stopped by" in printed
    assert list((tmp_path / "temporary").iterdir()) == []


def test_cases_that_ended_behind_one_that_has_not_are_told(tmp_path: Path) -> None:
    """Ctrl-C while the first of three runs, the second has ended, and the third failed."""
    behind = threading.Barrier(3)

    def upstream(name: str, place: Path) -> CaseOutcome:
        if name == "first":
            behind.wait(SECONDS)
            time.sleep(0.5)  # the others end
            raise KeyboardInterrupt
        behind.wait(SECONDS)
        if name == "third":
            raise ValueError(name)
        return CaseOutcome(name, "pass")

    stopped: list[str] = []
    judge: Any = SimpleNamespace(recording=None, run_upstream=upstream, at_once=2, stop=lambda: stopped.append("all"))
    judge.place, judge._abandon = tmp_path.joinpath, partial(Judge._abandon, judge)
    told = []
    with pytest.raises(KeyboardInterrupt):
        for _, _, outcome in Judge.run_all(judge, ["first", "second", "third"], lambda case, state: None):
            told.append(outcome.name)
    assert told == ["second"] and stopped == ["all"]
