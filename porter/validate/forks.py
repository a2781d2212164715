"""Running lines of standard input, each in a fork, as many at a time as there are."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

_STDIN = 0


def serve_lines(channel: TextIO, run: Callable[[str], int]) -> None:
    """Run each line in a fork, which ends with the status that `run` gives, until standard input ends.

    `started PID LINE` and `ended STATUS LINE` are written to `channel`; a status below zero is a signal's number.
    """
    woken, wake = os.pipe()  # a fork that ends writes there, so that there is one thing to wait for
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, str] = {}
    begun = b""
    while True:
        ready, _, _ = select.select([_STDIN, woken], [], [])
        if woken in ready:
            os.read(woken, 1 << 12)
            for child, status in _ended():
                if child in running:
                    print("ended", status, running.pop(child), file=channel)
        if _STDIN in ready:
            given = os.read(_STDIN, 1 << 16)
            if not given:
                return
            *lines, begun = (begun + given).split(b"\n")
            for line in lines:
                child = _fork(line.decode(), run)
                running[child] = line.decode()
                print("started", child, line.decode(), file=channel)


def _fork(line: str, run: Callable[[str], int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = run(line)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _ended() -> Iterator[tuple[int, int]]:
    """The forks that have ended by now, and how."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])
