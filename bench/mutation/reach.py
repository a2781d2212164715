"""Which case reaches which statement of a package: recorded once, and kept in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Queue
from threading import Lock

from bench.faults.trial import figure
from bench.mutation.cells import Cells, instrument
from bench.mutation.change import Cell
from bench.mutation.digests import digest, judge_digest
from bench.mutation.judging import Bench, Bencher, Say, failed
from porter.inputs.upstream.cache import cache_root
from porter.validate.runner import Request


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

    def reaching(self, cells: Iterable[Cell]) -> list[str]:
        """The cases that run one of these statements and pass on the unbroken package, the cheapest first."""
        found = {name for cell in cells for name in self._by_cell.get(cell, ())}
        return sorted(found, key=lambda name: self.cases[name].seconds)

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
    """Run all cases on an instrumented copy of `package`, but for those that `path` tells of; it is told the others."""
    done = read(path)
    found = {name: case for name, case in done.items() if case is not None}
    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        free: Queue[tuple[Bencher, Cells]] = Queue()
        for number in range(jobs):
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
                    found[name] = case = CaseReach(seconds, failure, cells.read())
                    say(f"reach: {name}, {seconds:.1f} s{f', fails: {failure}' if failure else ''}")
                note(path, name, case)
            finally:
                free.put((bencher, cells))

        list(pool.map(run, [name for name in bench.names if name not in done]))
    return Reach({name: found[name] for name in bench.names if name in found})


def kept(package: Path, request: Request) -> Path:
    """Where the record for a package, these cases and this device is kept, there or not."""
    names = hashlib.sha256("\0".join((judge_digest(), str(request.seed), *request.cases)).encode()).hexdigest()[:16]
    return cache_root() / "mutants" / f"{_stem(package, request)}-{names}.json"


def newest(package: Path, request: Request) -> Reach | None:
    """The newest record for a package and this device, by whichever judge; None where there is none."""
    found = (cache_root() / "mutants").glob(f"{_stem(package, request)}-*.json")
    return next(map(load, sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)), None)


def begun(path: Path) -> Path:
    """Where a record is written that `path` will hold once all cases ran."""
    return path.with_suffix(".jsonl")


def read(path: Path) -> dict[str, CaseReach | None]:
    """The cases that a stopped run recorded; None for those of which this upstream has nothing."""
    found: dict[str, CaseReach | None] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):  # a line that was being written when the run was stopped
            name, told = json.loads(line)
            found[name] = CaseReach(**told) if told is not None else None
    return found


_writing = Lock()


def note(path: Path, name: str, case: CaseReach | None) -> None:
    """Add a case to a record that is being written."""
    with _writing, path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps([name, vars(case) if case is not None else None])}\n")


def _stem(package: Path, request: Request) -> str:
    return f"reach-{digest(package)}-{request.device}-{request.forms}-{request.preset}"


def load(path: Path) -> Reach | None:
    """A record that was kept; None where there is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Reach({name: CaseReach(**case) for name, case in told.items()})
    except (OSError, ValueError, TypeError):
        return None


def save(reach: Reach, path: Path) -> None:
    """Keep a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {name: vars(case) for name, case in reach.cases.items()}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        json.dump(told, file)
    Path(file.name).replace(path)
    begun(path).unlink(missing_ok=True)
