"""Trying all examples of some rules: their texts here, what they compute in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from ...rule import Rule
from .texts import Result, try_texts

_ENDED = "runs to its end"


def can_execute() -> bool:
    """Whether torch is here; without it only texts are tried."""
    return find_spec("torch") is not None


def try_rules(rules: Sequence[type[Rule]], folders: Sequence[Path]) -> Iterator[Result]:
    """Every check of every example. `folders` are those of rules that do not come with the tool."""
    for rule in rules:
        yield from try_texts(rule)
    if can_execute():
        jobs = [(rule.code, n) for rule in rules for n, e in enumerate(rule.examples, 1) if e.call]
        yield from _executed(jobs, folders)


def _executed(jobs: list[tuple[str, int]], folders: Sequence[Path]) -> Iterator[Result]:
    """What each example computes. One that ends the process is a result, and the next ones get another process."""
    while jobs:
        command = [sys.executable, "-m", "porter.codemod.examples.worker", *map(str, folders)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as worker:
            assert worker.stdin is not None and worker.stdout is not None
            try:
                while jobs:
                    worker.stdin.write(f"{jobs[0][0]} {jobs[0][1]}\n")
                    worker.stdin.flush()
                    while (told := worker.stdout.readline()).startswith("{"):
                        yield Result(**json.loads(told))
                    if not told:
                        break
                    jobs = jobs[1:]
                worker.stdin.close()
            except BrokenPipeError:
                pass
            finally:
                if worker.poll() is None and jobs:
                    worker.kill()
        if jobs:
            code, number = jobs[0]
            yield Result(code, number, _ENDED, passed=False, why=f"the process ended with status {worker.returncode}")
            jobs = jobs[1:]
