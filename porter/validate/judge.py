"""Judging cases: upstream's side, the port's side, the comparison, and on XLA the graph budget."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from porter.errors import PortError
from porter.inputs.sources.layout import Arrangement
from porter.inputs.upstream import Snapshot
from porter.validate.checkpoint import converted
from porter.validate.children import Server, Timeout
from porter.validate.environment import check_packages, child_environment
from porter.validate.job import CHECKPOINT, HOST, Job, Role, Told
from porter.validate.manifest import Manifest, check_same_upstream, read_manifest
from porter.validate.outcome import CaseOutcome, Divergence
from porter.validate.recording import Recording
from porter.validate.request import Progress, Request
from porter.validate.rounding import confirm, doubtful, measure_rounding, read_rounding, relieve
from porter.validate.sourcemap import SourceMap
from porter.validate.tree import Paths, UpstreamTree
from porter.validate.verdicts import (
    first_divergence,
    is_misfit,
    judge_budget,
    judge_checkpoint,
    judge_failure,
    judge_tensors,
    judge_timeout,
)

_MOST = 4  # processes of one side at a time
_MEMORY = 6 << 30  # bytes that the machine has for each of them, and upstream's: a model, and what XLA's compiler takes
_AHEAD = 4  # cases that may have begun before the first of them is told, for each process of a side
_SIDES: Mapping[Role, str] = {
    "reference": "upstream",
    "exact": "a side in float64",
    "port": "the port",
    "budget": "the graph budget",
    "checkpoint": "upstream, with the port's checkpoint,",
}


@contextmanager
def open_judge(snapshot: Snapshot, folder: Path, request: Request) -> Iterator[Judge]:
    """Servers for `snapshot` and the package at `folder`. PortError for input that cannot be judged."""
    manifest = read_manifest(folder)
    check_same_upstream(manifest, snapshot)
    versions = check_packages(request.device)
    tree = UpstreamTree(snapshot, manifest.sources)
    with ExitStack() as stack:
        recording = None
        if request.reference is not None:
            recording = stack.enter_context(_opened(request, manifest, tree))
            told = recording.header
            request = replace(request, preset=told.preset, seed=told.seed, steps=told.steps)
        environment = child_environment(request.device, quick=request.preset == "tiny", forms=request.forms)
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-port-"))).resolve()
        weights, _ = converted(request.checkpoint, workplace)

        at_once = _at_once(request, environment)

        def server(paths: Paths, xla: bool, log: str, anew: bool = False) -> Server:
            cases, path = request.names(), workplace / log
            return Server(environment, paths.search, paths.package, xla, path, anew, cases, at_once)

        reference = old = None
        if recording is None:
            reference = tree.lay_out_reference(workplace / "upstream")
            old = stack.enter_context(server(reference, False, "reference.log"))
        port, xla = tree.lay_out_rest(workplace / "rest", manifest.root), request.device != "cpu"
        yield Judge(
            request=request,
            reference=reference,
            port=port,
            config=tree.config(),
            texts=tree.sources.texts,
            arrangement=tree.sources.arrangement,
            lines=source_map(manifest, tree),
            unbuilt=tuple(tree.unbuilt) if recording is None else (),
            upstream=old,
            ported=stack.enter_context(server(port, xla, "port.log")),
            anew=stack.enter_context(closing(server(port, xla, "anew.log", anew=True))),
            recording=recording,
            weights=weights,
            workplace=workplace,
            versions=versions,
            at_once=at_once,
        )


def _at_once(request: Request, environment: Mapping[str, str]) -> int:
    """How many processes of one side run at a time: one a core where they are small, one where there is one TPU."""
    if request.preset != "tiny" or environment.get("PJRT_DEVICE") == "TPU":
        return 1
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(_MOST, cores, memory // _MEMORY))


@dataclass(frozen=True)
class Judge:
    """Everything that is the same for all cases."""

    request: Request
    reference: Paths | None
    port: Paths
    config: dict[str, Any] | None
    texts: Mapping[str, tuple[str, str]]  # of upstream: path → place inside the package, text
    arrangement: Arrangement  # how these stand to each other
    lines: SourceMap
    unbuilt: tuple[str, ...]  # Cython sources of upstream that run as Python
    upstream: Server | None  # either this and `reference`, or `recording`
    ported: Server
    anew: Server  # imports the package anew for each job; starts with its first one
    recording: Recording | None
    weights: str  # a file of tensors for upstream's models, "" for none
    workplace: Path
    versions: dict[str, str]
    explain: bool = True  # whether to look for the first difference
    at_once: int = 1  # processes of one side
    varies: bool = True  # whether the port's side runs under variations as well

    def stop(self) -> None:
        """End all processes at once; nobody looks at what they do."""
        for server in (self.upstream, self.ported, self.anew):
            if server is not None:
                server.close()

    def place(self, name: str) -> Path:
        """A new folder for one case."""
        place = self.workplace / "cases" / name
        place.mkdir(parents=True)
        return place

    def run_all(self, names: Sequence[str], progress: Progress) -> Iterator[tuple[Path, Told | None, CaseOutcome]]:
        """The outcomes of cases, in their order; each with the folder that holds upstream's side, and what that told.

        One case more is under way than processes of a side may run: what a side leaves idle, the other one takes.
        """

        def both(name: str, place: Path) -> tuple[Path, Told | None, CaseOutcome]:
            progress(name, "upstream on the CPU" if self.recording is None else "upstream as recorded")
            reference = self.run_upstream(name, place)
            if isinstance(reference, CaseOutcome):
                return place, None, reference
            return place, reference, self.run_port(name, place, reference, progress)

        with ThreadPoolExecutor(self.at_once + 1) as lanes:
            left = iter(names)
            under_way: deque[Future[tuple[Path, Told | None, CaseOutcome]]] = deque()
            try:
                while True:
                    for name in islice(left, _AHEAD * self.at_once + 1 - len(under_way)):
                        under_way.append(lanes.submit(both, name, self.place(name)))
                    if not under_way:
                        return
                    yield under_way.popleft().result()
            except (KeyboardInterrupt, SystemExit):
                ended = [run for run in under_way if run.done() and run.exception() is None]  # behind one that has not
                self._abandon(under_way)
                for run in ended:
                    yield run.result()
                raise
            except BaseException:
                self._abandon(under_way)
                raise

    def _abandon(self, runs: Iterable[Future[Any]]) -> None:
        """Do not wait for runs that nobody will look at."""
        for run in runs:
            run.cancel()
        self.stop()

    def other(self, root: Path) -> Judge:
        """A judge of another package, made from the same upstream, which may change from run to run."""
        port = Paths(self.port.package, (str(root), *self.port.search[1:]), (str(root / "module" / "tpu"),))
        return replace(self, port=port, ported=self.anew, explain=False)

    def run_upstream(self, name: str, place: Path) -> Told | CaseOutcome:
        """Run upstream's side, which `place` then holds; an outcome where there is nothing to compare with."""
        try:
            reference = self._upstream(name, place)
        except Timeout:
            return judge_timeout(name, _SIDES["reference"], self.request.timeout)
        if is_misfit(reference):
            reference = replace(reference, error="", unavailable=f"it takes something else: {reference.error}")
        if not reference.error and not reference.unavailable:
            return reference
        blame = "no edit is to blame: upstream cannot run it here" if reference.error else ""
        return replace(judge_failure(name, _SIDES["reference"], reference, None), bisected=blame)

    def run_port(self, name: str, place: Path, reference: Told, progress: Progress) -> CaseOutcome:
        """Run the port's side and compare; `place` holds upstream's, and may be used again."""
        progress(name, f"the port on {self.request.device}")
        role: Role = "port"
        try:
            at_once = self.request.device != "cpu" and not reference.draws and not reference.kinks
            port = self._child(name, role, place, measure=at_once)
            if port.error:
                outcome = judge_failure(name, _SIDES[role], port, self.lines)
            elif port.dtypes is None:  # its parameters are not upstream's, so nothing was run
                spent = reference.seconds + port.seconds
                outcome = CaseOutcome(name, "mismatch", port.findings, backend=port.backend, seconds=spent)
            else:
                outcome = judge_tensors(name, reference, port, place, self._device(reference, port), self.lines)
                if doubtful(outcome):
                    role = "exact"
                    progress(name, "both sides in float64")
                    outcome = self._relieve(name, place, reference, outcome)
                if self.explain:
                    role = "checkpoint"
                    outcome = replace(self._checkpoint(name, place, outcome), fitted=reference.fitted)
        except Timeout:
            return judge_timeout(name, _SIDES[role], self.request.timeout)
        if self.explain and any(report.group == "results" and not report.passed for report in outcome.tensors):
            progress(name, "looking for the first difference")
            outcome = replace(outcome, divergence=self._divergence(name, place / "trace"))
        if port.budget is not None:
            outcome = judge_budget(outcome, replace(port, seconds=0.0), self.lines)
        elif self.request.device != "cpu" and port.dtypes is not None and port.backend != HOST:
            progress(name, "the graph budget")
            outcome = self._budget(name, place, outcome)
        return outcome

    def _relieve(self, name: str, place: Path, reference: Told, outcome: CaseOutcome) -> CaseOutcome:
        """Judge again by how far upstream itself is from its run in float64."""
        exact = None
        if self.upstream is not None:
            varied = any(report.variation and not report.passed for report in outcome.tensors)
            exact = self._exact(name, place, reference, varied)
            outcome = replace(outcome, seconds=outcome.seconds + exact.seconds)
        outcome = relieve(outcome, read_rounding(place) or {})
        if outcome.passed or exact is None or exact.dtypes is None:
            return outcome
        port = self._child(name, "port_exact", place, varied=bool(exact.varied))
        outcome = replace(outcome, seconds=outcome.seconds + port.seconds)
        device = self._device(exact, port)
        return outcome if port.dtypes is None else confirm(outcome, exact, port, place, device)

    def _exact(self, name: str, place: Path, reference: Told, varied: bool) -> Told:
        """Upstream in float64, and how far its own run is from that; once for all packages that are judged by it.

        `varied`: its variations as well.
        """
        report = place / "exact.json"
        if report.is_file():
            known = replace(Told.load(report), seconds=0.0)
            if known.varied or not varied:
                return known
        exact = self._child(name, "exact", place, varied=varied)
        if exact.dtypes is not None:
            measure_rounding(reference, exact, place)
        return exact

    def _divergence(self, name: str, place: Path) -> Divergence | None:
        place.mkdir()
        try:
            reference = self._upstream(name, place, trace=True)
            port = self._child(name, "port", place, trace=True)
        except Timeout:
            return None
        if reference.dtypes is None or port.dtypes is None:
            return None
        return first_divergence(reference, port, place, self._device(reference, port), self.lines)

    def _upstream(self, name: str, place: Path, trace: bool = False) -> Told:
        """Upstream's side of a case, run now or as recorded, which is always with its trace."""
        if self.recording is not None:
            return self.recording.fill(name, place)
        return self._child(name, "reference", place, trace)

    def _checkpoint(self, name: str, place: Path, outcome: CaseOutcome) -> CaseOutcome:
        """Whether upstream loads what the port saved; names and shapes alone, which the port's run looked at, where
        upstream is not run here."""
        if self.upstream is None or not (place / CHECKPOINT).is_file():
            return outcome
        return judge_checkpoint(outcome, self._child(name, "checkpoint", place))

    def _budget(self, name: str, place: Path, outcome: CaseOutcome) -> CaseOutcome:
        try:
            told = self._child(name, "budget", place)
        except Timeout as late:
            if late.told is None or late.told.budget is None:
                words = f"not done after {self.request.timeout:.0f} s (--timeout)"
                return judge_budget(outcome, Told(error=words, seconds=self.request.timeout), self.lines)
            told = late.told  # measured, and only the search for the lines took too long
        return judge_budget(outcome, told, self.lines)

    def _child(
        self, name: str, role: Role, place: Path, trace: bool = False, measure: bool = False, varied: bool = False
    ) -> Told:
        of_upstream = role in ("reference", "exact", "checkpoint")
        paths, server = (self.reference, self.upstream) if of_upstream else (self.port, self.ported)
        assert paths is not None and server is not None
        job = Job(
            role=role,
            case=name,
            device="cpu" if of_upstream or self.request.device == "cpu" else "xla",
            preset=self.request.preset,
            seed=self.request.seed,
            steps=self.request.steps,
            trace=trace,
            cover=role == "port" and not trace,
            measure=measure,
            variations=self._variations if varied or (self._has_variations(role) and not trace) else "",
            package=paths.package,
            search=paths.search,
            roots=paths.roots,
            config=self.config,
            folder=str(place),
            weights=self.weights,
        )
        return server.run(job, self.request.timeout)

    def _has_variations(self, role: Role) -> bool:
        return role == "reference" or (role == "port" and self.varies)

    @property
    def _variations(self) -> str:
        if self.request.device != "cpu":
            return "xla"
        return "cpu" if self.request.forms == "auto" else "forms"

    def _device(self, reference: Told, port: Told) -> str:
        """Whose tolerances count; a reference from CUDA is as far from the CPU as XLA is."""
        return "tpu" if port.backend == "TPU" else "cpu" if reference.backend == port.backend == HOST else "xla"


def _opened(request: Request, manifest: Manifest, tree: UpstreamTree) -> Recording:
    """The recording that a request names, checked. PortError where it cannot stand for upstream."""
    if request.checkpoint is not None:
        raise PortError("--checkpoint goes with record, since a recording brings its weights")
    assert request.reference is not None
    recording = Recording(request.reference)
    try:
        recording.check_upstream(manifest, tree.sources)
        recording.check()
    except BaseException:
        recording.close()
        raise
    return recording


def source_map(manifest: Manifest, tree: UpstreamTree) -> SourceMap:
    """From lines of the package to edits and lines of upstream."""

    def target_text(target: str) -> str:
        try:
            return (manifest.package / target).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    pairs = [(target, path) for path, (target, _) in tree.sources.texts.items()]
    return SourceMap(manifest.edits, tree.text, target_text, pairs)
