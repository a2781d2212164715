"""Room for recursion: a syntax tree is as deep as the longest chain of operators that upstream wrote.

Python's own limit is there to stop recursion that has gone wrong, and the stack of a thread is as small as the system
likes it. libcst's parser recurses on that stack, in native code that no limit guards.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

# Address space, of which only what is used becomes memory. libcst's parser needs about 1 kB a level of `a and b and …`,
# and Python 3.11 0.5 kB where Python code calls Python code through C.
STACK = 512 * 2**20
CALLS = 400_000
_LEAST = 16 * 2**20

_T = TypeVar("_T")
_here = threading.local()


def with_room(work: Callable[[], _T], calls: int = CALLS) -> _T:
    """What `work` returns or raises, run with room for that many nested calls of Python functions.

    It runs in a thread of its own while this one waits: `work` may compute, and should leave signals, processes and
    temporary files to the caller, since Ctrl-C ends the waiting and not the work.
    """
    if getattr(_here, "roomy", False):
        return work()
    result: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        _here.roomy = True
        try:
            result.append(work())
        except BaseException as error:
            failed.append(error)

    limit = sys.getrecursionlimit()
    try:
        _start(run, calls).join()
    finally:
        sys.setrecursionlimit(limit)
    if failed:
        raise failed.pop()
    return result.pop()


def _start(run: Callable[[], None], calls: int) -> threading.Thread:
    """A thread with the largest stack that the system gives, and a recursion limit that fits it."""
    size = STACK
    while True:
        before = threading.stack_size(size)
        thread = threading.Thread(target=run, name="syntax trees", daemon=True)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), min(calls, CALLS * size // STACK)))
        try:
            thread.start()
        except RuntimeError:  # no room for such a stack
            if size <= _LEAST:
                raise
            size //= 2
            continue
        finally:
            threading.stack_size(before)
        return thread
