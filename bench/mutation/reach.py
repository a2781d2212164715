"""Which case reaches which statement of a package: recorded once, and kept in the user's cache."""

from __future__ import annotations

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

import porter.validate
from bench.faults.trial import figure
from bench.mutation.cells import Cells, instrument
from bench.mutation.change import Cell
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


def record(bench: Bench, package: Path, workplace: Path, jobs: int, say: Say) -> Reach:
    """Run all cases on an instrumented copy of `package`."""
    found: dict[str, CaseReach] = {}
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
                if outcome is not None:
                    failure = f"{outcome.verdict}: {figure(outcome)}" if failed(outcome) else ""
                    found[name] = CaseReach(seconds, failure, cells.read())
                    say(f"reach: {name}, {seconds:.1f} s{f', fails: {failure}' if failure else ''}")
            finally:
                free.put((bencher, cells))

        list(pool.map(run, bench.names))
    return Reach({name: found[name] for name in bench.names if name in found})


def kept(package: Path, request: Request) -> Path:
    """Where the record for a package, these cases and this device is kept, there or not."""
    names = hashlib.sha256("\0".join((judge_digest(), str(request.seed), *request.cases)).encode()).hexdigest()[:16]
    return cache_root() / "mutants" / f"{_stem(package, request)}-{names}.json"


def newest(package: Path, request: Request) -> Reach | None:
    """The newest record for a package and this device, by whichever judge; None where there is none."""
    found = (cache_root() / "mutants").glob(f"{_stem(package, request)}-*.json")
    return next(map(load, sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)), None)


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


def digest(package: Path) -> str:
    """A hash of a package's files."""
    return _digest(package)


def judge_digest() -> str:
    """A hash of the judge's own files: with other cases, others are reached."""
    assert porter.validate.__file__ is not None
    return _digest(Path(porter.validate.__file__).parent)


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        raw = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()}\0{len(raw)}\0".encode())
        found.update(raw)
    return found.hexdigest()[:16]
