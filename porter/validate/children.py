"""Running one child process with a time limit, so that an abort or a hang costs one case and not the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import porter
from porter.validate.job import Job, Told

_TAIL = 3  # lines of a dead process's last words


class Timeout(Exception):  # noqa: N818  # it is what it says
    """A child process took too long; `told` is what it had reported until then, if anything."""

    def __init__(self, told: Told | None) -> None:
        super().__init__("took too long")
        self.told = told


def run_child(job: Job, environment: Mapping[str, str], seconds: float) -> Told:
    """Run `job` in a process of its own, at most `seconds`; what it reported.

    A process that dies without a report gives a report of its last words. Raises Timeout.
    """
    report = job.path(f"{job.role}.json")
    report.unlink(missing_ok=True)
    log = job.path(f"{job.role}.log")
    home = str(Path(porter.__file__).parent.parent)
    path = os.pathsep.join([home, *filter(None, [environment.get("PYTHONPATH")])])
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "porter.validate.worker", str(job.save())],
            env={**environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started = time.monotonic()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout(Told.load(report) if report.is_file() else None) from None
        finally:
            _end(child)
    took = time.monotonic() - started
    if report.is_file() and child.returncode == 0:
        return replace(Told.load(report), seconds=took)
    return Told(error=_last_words(child.returncode, log), seconds=took)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def _last_words(status: int, log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "Check failed" in line or line.startswith(("F0", "LLVM", "terminate"))]
    words = " / ".join((telling or lines)[-_TAIL:])[:500]
    how = f"ended with status {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            how = f"was killed by {signal.Signals(-status).name}"
    return f"the process {how}: {words}" if words else f"the process {how}"
