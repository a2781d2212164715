"""Which case reaches which statement of a package: recorded once, and kept in the user's cache."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf
from pathlib import Path
from queue import Queue
from threading import Lock

from bench.faults.trial import figure
from bench.mutation.cells import Cells, instrument
from bench.mutation.change import Cell
from bench.mutation.digests import case_digest, digest
from bench.mutation.judging import Bench, Bencher, Say, failed
from porter.inputs.upstream.cache import cache_root
from porter.validate.request import Request


@dataclass(frozen=True)
class CaseReach:
    """What one case ran."""

    seconds: float  # of the port's side and the comparison
    failure: str  # what speaks against the unbroken package, "" for nothing
    statements: Mapping[str, Sequence[int]]  # file → numbers of the statements that ran


@dataclass(frozen=True)
class Reach:
    """What all cases ran; those that this upstream does not have are left out."""

    cases: Mapping[str, CaseReach]
    limit: float = inf  # seconds that the cases for one mutant may take in all

    def reaching(self, cells: Iterable[Cell]) -> list[str]:
        """The cases that run one of these statements and pass on the unbroken package, the cheapest first."""
        found = {name for cell in cells for name in self._by_cell.get(cell, ())}
        ordered = sorted(found, key=lambda name: self.cases[name].seconds)
        ends = accumulate(self.cases[name].seconds for name in ordered)
        return [name for name, end in zip(ordered, ends, strict=True) if end <= self.limit]

    @cached_property
    def _by_cell(self) -> dict[Cell, list[str]]:
        by_cell: dict[Cell, list[str]] = {}
        for name, case in self.cases.items():
            if case.failure:
                continue
            for file, numbers in case.statements.items():
                for number in numbers:
                    by_cell.setdefault((file, number), []).append(name)
        return by_cell


def record(bench: Bench, package: Path, workplace: Path, jobs: int, path: Path, say: Say) -> Reach:
    """Run the cases on an instrumented copy of `package`, but for those that `path` tells of; it is told the others.

    A case that has changed since runs again.
    """
    known = read(path)
    done = {name: case for name, (by, case) in known.items() if by == case_digest(name)}
    left = [name for name in bench.names if name not in done]
    if left:
        say(f"recording which statements {len(left)} of {len(bench.names)} cases reach: {_told(bench.judge.request)}")
    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        free: Queue[tuple[Bencher, Cells]] = Queue()
        for number in range(min(jobs, len(left))):
            bencher = Bencher(bench, package, workplace / f"instrumented-{number}", stack)
            free.put((bencher, instrument(bencher.package, workplace / f"cells-{number}")))

        def run(name: str) -> None:
            bencher, cells = free.get()
            try:
                cells.clear()
                bench.ready(name)  # not to be counted
                started = time.perf_counter()
                outcome = bencher.run(name, bench.judge.request.timeout)
                seconds = time.perf_counter() - started
                case = None
                if outcome is not None:
                    failure = f"{outcome.verdict}: {figure(outcome)}" if failed(outcome) else ""
                    case = CaseReach(seconds, failure, cells.read())
                    say(f"reach: {name}, {seconds:.1f} s{f', fails: {failure}' if failure else ''}")
                done[name] = case
                note(path, name, case)
            finally:
                free.put((bencher, cells))

        list(pool.map(run, left))
    return _reach(done, bench.names)


def _told(request: Request) -> str:
    return f"{request.device}, forms {request.forms}"


def kept(package: Path, request: Request) -> Path:
    """Where the record for a package and this device is kept, there or not."""
    told = f"{digest(package)}-{request.device}-{request.forms}-{request.preset}-{request.seed}"
    return cache_root() / "mutants" / f"reach-{told}.jsonl"


def load(path: Path) -> Reach | None:
    """What a record tells, by whichever judge; None where there is none."""
    known = {name: case for name, (_, case) in read(path).items()}
    return _reach(known, known) if known else None


def _reach(known: Mapping[str, CaseReach | None], names: Iterable[str]) -> Reach:
    return Reach({name: case for name in names if (case := known[name]) is not None})


def read(path: Path) -> dict[str, tuple[str, CaseReach | None]]:
    """What is recorded of each case, and by which judge; None for those of which this upstream has nothing."""
    found: dict[str, tuple[str, CaseReach | None]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):  # a line that was being written when the run was stopped
            name, by, told = json.loads(line)
            found[name] = by, CaseReach(**told) if told is not None else None
    return found


_writing = Lock()


def note(path: Path, name: str, case: CaseReach | None) -> None:
    """Add a case to a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _writing, path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps([name, case_digest(name), vars(case) if case is not None else None])}\n")
