"""Running jobs in processes of their own with a time limit: an abort or a hang costs one case and not the run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

import porter
from porter.validate.job import Job, Told
from porter.validate.stacks import ASK, innermost, without_stacks

_TAIL = 3  # lines of a dead process's last words
_START = 120.0  # seconds that a server may take to import everything
_LAST = 5.0  # seconds that a process may take to end
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
        at_once: int = 1,
    ) -> None:
        """The process starts with the block, or anew with a job after it died.

        `anew`: each job imports the package itself, for packages that change; only what it imports is kept. `cases`
        are those whose modules' own imports are made ahead. `at_once`: how many jobs run at a time, and share the
        cores. What they leave in the folder of temporary files lies beside `log`: a process that is killed leaves it.
        """
        first = {"search": search, "package": package, "xla": xla, "anew": anew, "cases": list(cases)}
        self._temporary = log.with_suffix(".tmp")
        self._environment = {**environment, "TMPDIR": str(self._temporary)}
        self._first = json.dumps({**first, "at_once": at_once})
        self._log = log
        self._process: _Process | None = None
        self._closed = False
        self._starting = threading.Lock()
        self._free = threading.Semaphore(at_once)

    def __enter__(self) -> Server:
        self._started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and its jobs for good."""
        with self._starting:
            self._closed = True
        self._drop(self._process)

    def run(self, job: Job, seconds: float) -> Told:
        """Run `job`, at most `seconds`; what it reported. Raises Timeout.

        A process that dies without a report gives a report of its last words. One thread too many waits its turn.
        """
        with self._free:
            process = self._started()
            return self._run(process, job, seconds) if process is not None else self._died(process)

    def _run(self, process: _Process, job: Job, seconds: float) -> Told:
        report, log = job.path(f"{job.role}.json"), job.path(f"{job.role}.log")
        report.unlink(missing_ok=True)
        try:
            answers = process.send(job.save())
            child = answers.wait("started", _START + seconds)
        except (OSError, _Gone, _Late):
            return self._died(process)
        started = time.monotonic()
        try:
            status = answers.wait("ended", seconds)
        except _Late:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, ASK)
                time.sleep(_STACKS)
                os.killpg(child, signal.SIGKILL)
            try:
                answers.wait("ended", _START)
            except (_Late, _Gone):
                self._drop(process)
            raise Timeout(Told.load(report) if report.is_file() else None, innermost(log, job.roots)) from None
        except _Gone:
            return self._died(process)
        took = time.monotonic() - started
        if report.is_file() and status == 0:
            return replace(Told.load(report), seconds=took)
        return Told(error=last_words(status, log), where=innermost(log, job.roots), seconds=took)

    def _started(self) -> _Process | None:
        """The process, started where there is none; None once the server is closed."""
        with self._starting:
            if self._process is None and not self._closed:
                self._process = self._start()
            return None if self._closed else self._process

    def _start(self) -> _Process:
        home = str(Path(porter.__file__).parent.parent)
        path = os.pathsep.join([home, *filter(None, [self._environment.get("PYTHONPATH")])])
        self._temporary.mkdir(exist_ok=True)
        with self._log.open("wb") as log:
            return _Process(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "porter.validate.worker", "--serve", self._first],
                    env={**self._environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                    cwd=self._log.parent,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    start_new_session=True,
                )
            )

    def _drop(self, process: _Process | None) -> None:
        """End a process; the next job starts another."""
        with self._starting:
            if self._process is process:
                self._process = None
        if process is not None:
            process.end()

    def _died(self, process: _Process | None) -> Told:
        if process is None or self._closed:  # by another thread
            return Told(error="it was stopped")
        status = process.status()
        self._drop(process)
        return Told(error=last_words(1 if status is None else status, self._log))


class _Late(Exception):  # noqa: N818
    """The server said nothing in time."""


class _Gone(Exception):  # noqa: N818
    """The server has ended."""


class _Answers:
    """What a server says of one job: `started` with the number of its process, `ended` with its status."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: SimpleQueue[tuple[str, int] | None] = SimpleQueue()

    def put(self, said: tuple[str, int] | None) -> None:
        """Take an answer, None where there will be no more."""
        self._said.put(said)

    def wait(self, what: str, seconds: float) -> int:
        """The number that the server sends with `what`. Raises _Late or _Gone."""
        try:
            said = self._said.get(timeout=seconds)
        except Empty:
            raise _Late from None
        if said is None or said[0] != what:
            raise _Gone
        return said[1]


class _Process:
    """A server's process, and a thread that reads what it says."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """`process` was just started."""
        self._process = process
        self._told: dict[str, _Answers] = {}
        self._gone = False
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, job: Path) -> _Answers:
        """Give the server a job. Raises OSError or _Gone."""
        answers = _Answers()
        with self._lock:
            if self._gone or self._process.stdin is None:
                raise _Gone
            self._told[str(job)] = answers
            self._process.stdin.write(f"{job}\n".encode())
            self._process.stdin.flush()
        return answers

    def status(self) -> int | None:
        """How it ended, None where it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST)
        return self._process.poll()

    def end(self) -> None:
        """End the process; its forks end with it."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(_LAST)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said, contextlib.suppress(ValueError, KeyError):  # of a process that is no server
            for line in said:
                what, number, job = line.decode().rstrip("\n").split(" ", 2)
                self._told[job].put((what, int(number)))
        with self._lock:
            self._gone = True
            for answers in self._told.values():
                answers.put(None)


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
