"""The judge of `validate`, opened once: upstream's side of each case is run once and kept for all mutants."""

from __future__ import annotations

import compileall
import hashlib
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from bench.mutation.digests import case_digest
from bench.mutation.sides import Side, Sides, remove_stale
from porter.inputs.upstream import Snapshot
from porter.inputs.upstream.cache import cache_root
from porter.validate.children import Server
from porter.validate.environment import child_environment
from porter.validate.job import CHECKPOINT, Told
from porter.validate.judge import Judge, open_judge
from porter.validate.outcome import CaseOutcome
from porter.validate.request import Request

Say = Callable[[str], None]
_MEMORY = 12 << 30  # bytes that a mutant's process may ask for
_LATER = 10.0  # seconds; bytecode tells its source by whole seconds
_ABSENT = "not in this upstream"


@dataclass
class Bench:
    """A judge, and upstream's side of the cases that were asked for."""

    judge: Judge
    names: tuple[str, ...]
    sides: Sides
    _ready: dict[str, Side | None] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def ready(self, name: str) -> Side | None:
        """Upstream's side of a case, run when first asked for; None where there is nothing to compare with."""
        with self._lock:
            if name not in self._ready:
                self._ready[name] = self._side(name)
            return self._ready[name]

    def _side(self, name: str) -> Side | None:
        by = case_digest(name)
        with suppress(LookupError):
            return self.sides.get(name, by)
        place = self.judge.place(name)
        told = self.judge.run_upstream(name, place)
        try:
            return self.sides.keep(name, by, place, told if isinstance(told, Told) else None)
        finally:
            shutil.rmtree(place)


class Bencher:
    """One worker: a package of its own that may be broken, and a process that forks for each run of it."""

    def __init__(self, bench: Bench, package: Path, folder: Path, stack: ExitStack) -> None:
        """`package` is copied to `folder`; `stack` ends the process."""
        shutil.copytree(package, folder, ignore=shutil.ignore_patterns("__pycache__"))
        self.root = folder.resolve()
        self.package = self.root / "module" / "tpu"
        compileall.compile_dir(self.root, quiet=2)  # each run imports the package again
        self._bench = bench
        paths = self.package.rglob("*.py")
        self._times = {path.relative_to(self.package).as_posix(): path.stat().st_mtime for path in paths}
        self._places = self.root.parent / f"{self.root.name}.cases"
        judge = bench.judge.other(self.root)
        request = judge.request
        environment = child_environment(request.device, quick=request.preset == "tiny", forms=request.forms)
        kept = self.root.parent / "compiled"  # what mutants compile is for nobody else
        environment["SOVITS_PORT_COMPILATION_CACHE"] = str(kept)
        server = Server(
            environment,
            bench.judge.port.search,
            judge.port.package,
            request.device != "cpu",
            self.root.parent / f"{self.root.name}.log",
            anew=True,
            cases=bench.names,
        )
        stack.callback(server.close)
        self._judge = replace(judge, ported=server)

    def put(self, file: str, text: str) -> None:
        """Give a file of the package another text."""
        path = self.package / file
        before = path.stat()
        path.write_text(text, encoding="utf-8")
        os.utime(path, (before.st_atime, before.st_mtime + _LATER))  # or its old bytecode would count

    def put_back(self, file: str, text: str) -> None:
        """Undo `put`; `text` is what was there before."""
        path = self.package / file
        path.write_text(text, encoding="utf-8")
        os.utime(path, (path.stat().st_atime, self._times[file]))

    def varies(self, name: str) -> bool:
        """Whether a case has variations."""
        ready = self._bench.ready(name)
        return ready is not None and bool(ready.reference.varied)

    def run(self, name: str, seconds: float, varied: bool = True) -> CaseOutcome | None:
        """One case of the package as it is now, at most `seconds`; None where there is nothing to compare with.

        `varied`: with its variations.
        """
        ready = self._bench.ready(name)
        if ready is None:
            return None
        place = self._places / name
        if not place.is_dir():
            place.mkdir(parents=True)
            for file in ready.place.iterdir():
                (place / file.name).symlink_to(file)
        judge = replace(self._judge, request=replace(self._judge.request, timeout=seconds), varies=varied)
        try:
            return judge.run_port(name, place, ready.reference, _quiet)
        finally:  # of all cases these are more than 10 GB
            for file in (*place.glob("port.*"), place / CHECKPOINT):
                file.unlink(missing_ok=True)


@contextmanager
def open_bench(snapshot: Snapshot, package: Path, request: Request) -> Iterator[Bench]:
    """The bench for `package`, as `generate` made it. PortError for unusable input."""
    _limit_memory()
    with open_judge(snapshot, package, request) as judge:
        yield Bench(judge, request.names(), Sides(_sides(judge)))


def _sides(judge: Judge) -> Path:
    """Where upstream's sides are kept: the same for the same sources and request."""
    request = judge.request
    told = (request.device, request.forms, request.preset, str(request.seed), repr(judge.texts))
    folder = cache_root() / "mutants" / "sides"
    remove_stale(folder)
    return folder / hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]


def _limit_memory() -> None:
    """So that a mutant that asks for the whole machine fails alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > _MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, hard))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def failed(outcome: CaseOutcome) -> bool:
    """Whether a case speaks against the package."""
    return outcome.verdict != _ABSENT and not outcome.passed


def _quiet(case: str, state: str) -> None:
    pass
