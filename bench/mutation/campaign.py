"""A sample of mutants, each tried; where cases of another device alone reach a place, its mutants belong there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from pathlib import Path
from queue import Queue

from bench.mutation import reach as reaching
from bench.mutation.change import Mutant
from bench.mutation.digests import digest
from bench.mutation.equal import Note
from bench.mutation.finding import sample
from bench.mutation.judging import Bench, Bencher, Say, open_bench
from bench.mutation.ledger import Fate, Ledger
from bench.mutation.reach import Reach
from bench.mutation.trial import attempt
from porter.errors import PortError
from porter.inputs.sources import TRAINERS
from porter.inputs.upstream import Snapshot
from porter.inputs.upstream.cache import cache_root
from porter.validate.cases import FORMS, KERNELS, chosen
from porter.validate.inventory import take_inventory
from porter.validate.manifest import read_manifest
from porter.validate.omitted import PROGRAMS
from porter.validate.request import Request

PLAIN = ("cpu", "auto")  # device and forms of what runs everywhere


@dataclass(frozen=True)
class Sampling:
    """Which mutants."""

    count: int
    seed: int
    files: tuple[str, ...] = ()  # patterns, all for none
    trusting: bool = False  # those that a case saw before it changed count as seen
    limit: float = inf  # seconds that the cases for one mutant may take in all, the cheapest first


@dataclass(frozen=True)
class Trial:
    """A mutant and what became of it."""

    mutant: Mutant
    fate: Fate
    run: str = ""  # options of the other run that saw it, "" for the campaign's own


@dataclass(frozen=True)
class Found:
    """What a campaign found."""

    trials: tuple[Trial, ...]
    equal: int  # mutants of the sample that a note proves to change nothing; not counted
    elsewhere: int  # those that only cases of another device reach; not counted
    unreached: int  # those in code that no case reaches, which validate says that it does not judge; not counted
    alarms: tuple[str, ...]  # cases that speak against the unbroken package, which took no part
    unrecorded: tuple[str, ...] = ()  # other runs of which nothing is recorded: what they alone reach counts as unseen

    @property
    def seen(self) -> int:
        """How many mutants the judge saw."""
        return sum(trial.fate.seen for trial in self.trials)


Step = Callable[[Trial, int], None]  # what became of one, and how many are done


def run(
    snapshot: Snapshot,
    folder: Path,
    request: Request,
    sampling: Sampling,
    notes: Sequence[Note],
    jobs: int,
    say: Say,
    step: Step,
) -> Found:
    """Try a sample of the mutants of the package at `folder`. PortError for unusable input."""
    package = read_manifest(folder).package
    with (
        tempfile.TemporaryDirectory(prefix="sovits-mutants-") as temporary,
        open_bench(snapshot, folder, request) as bench,
    ):
        workplace = Path(temporary).resolve()
        reach = _reach(bench, folder, package, workplace, jobs, say)
        others = _others(snapshot, folder, package, request, workplace, jobs, say)
        picked = _Picked(reach, [found for _, _, found in others], request, notes, _left_out(bench))
        wanted = list(islice(picked.of(sample(package, sampling.files, sampling.seed)), sampling.count))
        ledger = Ledger(_ledger_path(package, request), sampling.trusting)
        cheapest = replace(reach, limit=sampling.limit)
        trials = _all_tried(bench, folder, wanted, cheapest, ledger, workplace, jobs, say, step)
        for name, other, seen in others if (request.device, request.forms) == PLAIN else ():
            left = [m for m in wanted if trials[m.key].fate.state == "survived" and seen.reaching(m.cells)]
            if not left:
                continue
            say(f"{len(left)} that survived are tried with {name} as well")
            ledger = Ledger(_ledger_path(package, other), sampling.trusting)
            cheapest = replace(seen, limit=sampling.limit)
            with open_bench(snapshot, folder, other) as beside:
                place, workers = workplace / f"with {name}", jobs if other.device == "cpu" else 1
                more = _all_tried(beside, folder, left, cheapest, ledger, place, workers, say, step)
            trials |= {key: replace(trial, run=name) for key, trial in more.items() if trial.fate.seen}
        alarms = tuple(f"{name}: {case.failure}" for name, case in reach.cases.items() if case.failure)
        found = tuple(trials[mutant.key] for mutant in wanted)
        return Found(found, picked.equal, picked.elsewhere, picked.unreached, alarms, _unrecorded(package, request))


def _all_tried(
    bench: Bench,
    folder: Path,
    mutants: Sequence[Mutant],
    reach: Reach,
    ledger: Ledger,
    workplace: Path,
    jobs: int,
    say: Say,
    step: Step,
) -> dict[str, Trial]:
    """What became of each mutant in one run, by its key; those that the ledger tells of are not tried again."""
    known = {mutant.key: (mutant, ledger.get(mutant.key, reach.reaching(mutant.cells))) for mutant in mutants}
    trials = {key: Trial(mutant, fate) for key, (mutant, fate) in known.items() if fate is not None}
    if trials:
        say(f"{len(trials)} of {len(mutants)} mutants were tried before")
    waiting = [mutant for mutant in mutants if mutant.key not in trials]
    with ExitStack() as stack:
        for trial in _tried(bench, folder, waiting, reach, workplace, jobs, stack):
            ledger.add(trial.fate)
            trials[trial.mutant.key] = trial
            step(trial, len(trials))
    return trials


def _left_out(bench: Bench) -> list[str]:
    """`FILE`s and `FILE:NAME`s that validate itself names as not judged, or as code that stays on the host."""
    inventory = take_inventory(bench.judge.texts, bench.judge.arrangement)
    on_host = (name for name, _ in inventory.excused if not name.startswith(f"{TRAINERS}/"))  # these have cases
    return [*PROGRAMS, *inventory.unreached, *on_host]


class _Picked:
    """Those of a sample that count."""

    def __init__(
        self, reach: Reach, others: Sequence[Reach], request: Request, notes: Sequence[Note], unreached: Sequence[str]
    ) -> None:
        self._reach, self._others, self._notes, self._unreached = reach, others, notes, frozenset(unreached)
        self._request, self._plain = request, (request.device, request.forms) == PLAIN
        self.equal = self.elsewhere = self.unreached = 0

    def of(self, sampled: Iterator[Mutant]) -> Iterator[Mutant]:
        for mutant in sampled:
            reached = bool(self._reach.reaching(mutant.cells))
            other = any(others.reaching(mutant.cells) for others in self._others)
            if any(note.covers(mutant) for note in self._notes):
                self.equal += 1
            elif not reached and self._unreached & {mutant.file, f"{mutant.file}:{mutant.inside.partition('.')[0]}"}:
                self.unreached += 1
            elif self._is_elsewhere(mutant, reached, other):
                self.elsewhere += 1
            else:
                yield mutant

    def _is_elsewhere(self, mutant: Mutant, reached: bool, other: bool) -> bool:
        """`other`: whether another run reaches it."""
        if mutant.of_device and self._request.device == "cpu":
            return True
        return (other and not reached) if self._plain else (other or not reached)


def _tried(
    bench: Bench,
    folder: Path,
    waiting: Sequence[Mutant],
    reach: Reach,
    workplace: Path,
    jobs: int,
    stack: ExitStack,
) -> Iterator[Trial]:
    free: Queue[Bencher] = Queue()
    for number in range(jobs if waiting else 0):
        free.put(Bencher(bench, folder, workplace / f"broken-{number}", stack))

    def one(mutant: Mutant) -> Trial:
        bencher = free.get()
        try:
            return Trial(mutant, attempt(bencher, mutant, reach.reaching(mutant.cells), reach))
        finally:
            free.put(bencher)

    with ThreadPoolExecutor(jobs) as pool:
        running: set[Future[Trial]] = set()
        left = iter(waiting)
        try:
            while True:
                running.update(pool.submit(one, mutant) for mutant in islice(left, jobs - len(running)))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def _reach(bench: Bench, folder: Path, package: Path, workplace: Path, jobs: int, say: Say) -> Reach:
    path = reaching.kept(package, bench.judge.request)
    return reaching.record(bench, folder, workplace / "reach", jobs, path, say)


def _others(
    snapshot: Snapshot, folder: Path, package: Path, request: Request, workplace: Path, jobs: int, say: Say
) -> list[tuple[str, Request, Reach]]:
    """What counts elsewhere, with a run's options: for plain runs what other records tell, else what that reaches.

    The cases of a TPU's forms alone are recorded for a plain run as well: what they reach, hardly another case does.
    """
    if (request.device, request.forms) == PLAIN:
        if not request.cases:
            forms = replace(request, forms="tpu")
            own = tuple(name for name in forms.names() if name in FORMS or name in KERNELS)
            with open_bench(snapshot, folder, replace(forms, cases=own)) as bench:
                _reach(bench, folder, package, workplace / "forms", jobs, say)
        return [
            (name, other, found)
            for name, other in _beside(request).items()
            if (found := _recorded(package, other)) is not None
        ]
    cases = tuple(name for name in request.cases if not _is_of_forms(name))
    if request.cases and not cases:  # a plain run has none of these cases
        return []
    plain = replace(request, device="cpu", forms="auto", cases=cases)
    with open_bench(snapshot, folder, plain) as bench:
        return [("--device cpu", plain, _reach(bench, folder, package, workplace / "plain", jobs, say))]


def _is_of_forms(pattern: str) -> bool:
    """Whether a name or pattern of cases means such alone as only a TPU's forms have."""
    try:
        chosen((pattern,))
    except PortError:
        return True
    return False


def _beside(request: Request) -> dict[str, Request]:
    """Runs that reach what a plain one does not, by their options."""
    return {"--forms tpu": replace(request, forms="tpu"), "--device xla": replace(request, device="xla")}


def _unrecorded(package: Path, request: Request) -> tuple[str, ...]:
    if (request.device, request.forms) != PLAIN:
        return ()
    return tuple(name for name, other in _beside(request).items() if _recorded(package, other) is None)


def _recorded(package: Path, request: Request) -> Reach | None:
    return reaching.load(reaching.kept(package, request))


def _ledger_path(package: Path, request: Request) -> Path:
    name = f"{digest(package)}-{request.device}-{request.forms}-{request.preset}"
    return cache_root() / "mutants" / f"{name}.jsonl"
