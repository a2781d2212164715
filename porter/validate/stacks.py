"""Python stacks of processes that abort or hang, written to their logs by `faulthandler` and read from there."""

from __future__ import annotations

import faulthandler
import re
import signal
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

ASK = signal.SIGUSR1  # the signal at which a process writes its stacks
_THREAD = re.compile(r"(?P<current>Current thread|Thread) 0x")
_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+) in ')
_OTHER = re.compile(r"Fatal Python error|Extension modules: |\s*<no Python frame>")


def write_stacks() -> None:
    """From now on write all stacks to stderr when this process crashes, and at the signal ASK."""
    faulthandler.enable()
    faulthandler.register(ASK)


def innermost(log: Path, roots: Sequence[str]) -> str:
    """file:line, relative to one of `roots`, of the innermost frame there in a log; "" for none.

    The thread that crashed is asked first: the backward pass has one of its own, and its caller only waits.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for found in chain.from_iterable(_threads(text)):
        for root in roots:
            if found["file"].startswith(f"{root}/"):
                return f"{found['file'].removeprefix(f'{root}/')}:{found['line']}"
    return ""


def _threads(text: str) -> list[list[re.Match[str]]]:
    """The frames of each thread, that which crashed first."""
    threads, frames = list[list[re.Match[str]]](), list[re.Match[str]]()
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            frames = []
            threads.insert(0 if thread["current"].startswith("Current") else len(threads), frames)
        elif frame := _FRAME.match(line):
            frames.append(frame)
    return threads


def without_stacks(text: str) -> str:
    """A log's text without what `faulthandler` wrote."""
    return "\n".join(
        line for line in text.splitlines() if not any(kind.match(line) for kind in (_THREAD, _FRAME, _OTHER))
    )
