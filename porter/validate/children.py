"""Running jobs in processes of their own with a time limit: an abort or a hang costs one case and not the run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import porter
from porter.validate.job import Job, Told
from porter.validate.stacks import ASK, innermost, without_stacks

_TAIL = 3  # lines of a dead process's last words
_START = 120.0  # seconds that a server may take to import everything
_STACKS = 0.5  # seconds that a process gets to write where it hangs


class Timeout(Exception):  # noqa: N818  # it is what it says
    """A job took too long; `told` is what it had reported until then, if anything, and `where` its line, if known."""

    def __init__(self, told: Told | None, where: str = "") -> None:
        super().__init__("took too long")
        self.told = told
        self.where = where


class Server(AbstractContextManager["Server"]):
    """A process that has imported torch and one side's package, and forks for each job."""

    def __init__(
        self,
        environment: Mapping[str, str],
        search: tuple[str, ...],
        package: str,
        xla: bool,
        log: Path,
        anew: bool = False,
        cases: Sequence[str] = (),
    ) -> None:
        """The process starts with the block, or anew with a job after it died.

        `anew`: each job imports the package itself, for packages that change; only what it imports is kept. `cases`
        are those whose modules' own imports are made ahead.
        """
        self._environment = environment
        self._first = json.dumps({"search": search, "package": package, "xla": xla, "anew": anew, "cases": list(cases)})
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Server:
        self._process = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def run(self, job: Job, seconds: float) -> Told:
        """Run `job`, at most `seconds`; what it reported. Raises Timeout.

        A process that dies without a report gives a report of its last words. A second thread waits its turn.
        """
        with self._one_at_a_time:
            return self._run(job, seconds)

    def _run(self, job: Job, seconds: float) -> Told:
        report, log = job.path(f"{job.role}.json"), job.path(f"{job.role}.log")
        report.unlink(missing_ok=True)
        server = self._process = self._process or self._start()
        assert server.stdin is not None
        try:
            server.stdin.write(f"{job.save()}\n".encode())
            server.stdin.flush()
            child = self._answer("started", _START + seconds)
        except (OSError, _Gone):
            return self._died()
        started = time.monotonic()
        try:
            status = self._answer("ended", seconds)
        except _Late:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, ASK)
                time.sleep(_STACKS)
                os.killpg(child, signal.SIGKILL)
            try:
                self._answer("ended", _START)
            except (_Late, _Gone):
                self.close()
            raise Timeout(Told.load(report) if report.is_file() else None, innermost(log, job.roots)) from None
        except _Gone:
            return self._died()
        took = time.monotonic() - started
        if report.is_file() and status == 0:
            return replace(Told.load(report), seconds=took)
        return Told(error=last_words(status, log), where=innermost(log, job.roots), seconds=took)

    def _start(self) -> subprocess.Popen[bytes]:
        home = str(Path(porter.__file__).parent.parent)
        path = os.pathsep.join([home, *filter(None, [self._environment.get("PYTHONPATH")])])
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "porter.validate.worker", "--serve", self._first],
                env={**self._environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=self._log.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )

    def _answer(self, what: str, seconds: float) -> int:
        """The number that the server sends with `what`. Raises _Late or _Gone."""
        if self._process is None or self._process.stdout is None:
            raise _Gone
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            raise _Late
        words = self._process.stdout.readline().split()
        if len(words) != 2 or words[0] != what.encode():
            raise _Gone
        return int(words[1])

    def _died(self) -> Told:
        if self._process is None:  # closed by another thread
            return Told(error="it was stopped")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        status = self._process.poll()
        self.close()
        return Told(error=last_words(1 if status is None else status, self._log))


class _Late(Exception):  # noqa: N818
    """The server said nothing in time."""


class _Gone(Exception):  # noqa: N818
    """The server has ended."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process; its forks end with it."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def last_words(status: int, log: Path) -> str:
    """How a process ended without a report, and the end of what it wrote to `log`."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in without_stacks(text).splitlines() if line.strip()]
    telling = [line for line in lines if "Check failed" in line or line.startswith(("F0", "LLVM", "terminate"))]
    words = " / ".join((telling or lines)[-_TAIL:])[:500]
    how = f"ended with status {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            how = f"was killed by {signal.Signals(-status).name}"
    return f"the process {how}: {words}" if words else f"the process {how}"
