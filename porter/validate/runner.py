"""Running cases one after the other: reference, port, comparison, and on XLA the graph budget."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.upstream import Snapshot
from porter.validate.cases import chosen
from porter.validate.children import Server, Timeout
from porter.validate.environment import check_packages, child_environment
from porter.validate.job import HOST, Job, Role, Told
from porter.validate.judge import (
    first_divergence,
    judge_budget,
    judge_failure,
    judge_tensors,
    judge_timeout,
)
from porter.validate.manifest import Manifest, check_same_upstream, read_manifest
from porter.validate.outcome import CaseOutcome, Divergence, Outcome
from porter.validate.settings import Preset
from porter.validate.sourcemap import SourceMap
from porter.validate.tree import Paths, UpstreamTree

if TYPE_CHECKING:
    from porter.validate.bisect import Bisector

Progress = Callable[[str, str], None]  # case, what it does now
_SIDES: Mapping[Role, str] = {"reference": "upstream", "port": "the port", "budget": "the graph budget"}


@dataclass(frozen=True)
class Request:
    """What to validate, and how."""

    device: str = "xla"  # cpu, xla or tpu
    preset: Preset = "full"
    cases: tuple[str, ...] = ()  # all, where empty
    seed: int = 0
    steps: int = 10  # steps after the first that the graph budget measures
    timeout: float = 1800.0  # seconds for each process
    probes: int = 0  # how often to run a failed case again to find the edits to blame
    rules: tuple[Path, ...] = ()  # folders of rules that the package was made with


def validate(
    snapshot: Snapshot, folder: Path, request: Request, progress: Progress = lambda case, state: None
) -> Outcome:
    """Judge the package at `folder` against `snapshot`. PortError for input that cannot be judged."""
    names = chosen(request.cases)
    outcomes = []
    with open_judge(snapshot, folder, request) as judge:
        bisector = _bisector(snapshot, folder, judge) if request.probes else None
        for name in names:
            place = judge.place(name)
            outcome = reference = judge.run_upstream(name, place, progress)
            if not isinstance(reference, CaseOutcome):
                outcome = judge.run_port(name, place, reference, progress)
                if bisector is not None and not outcome.passed:
                    outcome = bisector.blame(outcome, place, reference, progress)
            assert isinstance(outcome, CaseOutcome)
            outcomes.append(outcome)
            progress(name, outcome.verdict)
            shutil.rmtree(place)
    return Outcome(
        upstream=snapshot.spec,
        revision=snapshot.revision,
        port=folder.resolve().name,
        device=request.device,
        preset=request.preset,
        seed=request.seed,
        versions=judge.versions,
        cases=tuple(outcomes),
    )


@contextmanager
def open_judge(snapshot: Snapshot, folder: Path, request: Request) -> Iterator[Judge]:
    """Servers for `snapshot` and the package at `folder`. PortError for input that cannot be judged."""
    manifest = read_manifest(folder)
    check_same_upstream(manifest, snapshot)
    versions = check_packages(request.device)
    environment = child_environment(request.device)
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as temporary:
        workplace = Path(temporary).resolve()
        tree = UpstreamTree(snapshot)
        reference = tree.lay_out_reference(workplace / "upstream")
        port = tree.lay_out_rest(workplace / "rest", manifest.root)
        xla = request.device != "cpu"
        with (
            Server(environment, reference.search, reference.package, False, workplace / "reference.log") as old,
            Server(environment, port.search, port.package, xla, workplace / "port.log") as new,
            closing(Server(environment, port.search, port.package, xla, workplace / "anew.log", anew=True)) as anew,
        ):
            lines = _source_map(manifest, tree)
            yield Judge(request, reference, port, tree.config(), lines, old, new, anew, workplace, versions)


@dataclass(frozen=True)
class Judge:
    """Everything that is the same for all cases."""

    request: Request
    reference: Paths
    port: Paths
    config: dict[str, Any] | None
    lines: SourceMap
    upstream: Server
    ported: Server
    anew: Server  # imports the package anew for each job; starts with its first one
    workplace: Path
    versions: dict[str, str]
    explain: bool = True  # whether to look for the first difference

    def place(self, name: str) -> Path:
        """A new folder for one case."""
        place = self.workplace / "cases" / name
        place.mkdir(parents=True)
        return place

    def other(self, root: Path) -> Judge:
        """A judge of another package, made from the same upstream, which may change from run to run."""
        port = Paths(self.port.package, (str(root), *self.port.search[1:]), (str(root / "module" / "tpu"),))
        return replace(self, port=port, ported=self.anew, explain=False)

    def run_upstream(self, name: str, place: Path, progress: Progress) -> Told | CaseOutcome:
        """Run upstream's side, which `place` then holds; an outcome where there is nothing to compare with."""
        progress(name, "upstream on the CPU")
        try:
            reference = self._child(name, "reference", place)
        except Timeout:
            return judge_timeout(name, _SIDES["reference"], self.request.timeout)
        failed = reference.error or reference.unavailable
        return judge_failure(name, _SIDES["reference"], reference, None) if failed else reference

    def run_port(self, name: str, place: Path, reference: Told, progress: Progress) -> CaseOutcome:
        """Run the port's side and compare; `place` holds upstream's, and may be used again."""
        progress(name, f"the port on {self.request.device}")
        try:
            at_once = self.request.device != "cpu" and not reference.draws and not reference.kinks
            port = self._child(name, "port", place, measure=at_once)
        except Timeout:
            return judge_timeout(name, _SIDES["port"], self.request.timeout)
        if port.error:
            outcome = judge_failure(name, _SIDES["port"], port, self.lines)
        elif port.dtypes is None:  # its parameters are not upstream's, so nothing was run
            spent = reference.seconds + port.seconds
            outcome = CaseOutcome(name, "mismatch", port.findings, backend=port.backend, seconds=spent)
        else:
            outcome = judge_tensors(name, reference, port, place, self._device(port), self.lines)
        if self.explain and any(report.group == "results" and not report.passed for report in outcome.tensors):
            progress(name, "looking for the first difference")
            outcome = replace(outcome, divergence=self._divergence(name, place / "trace"))
        if port.budget is not None:
            outcome = judge_budget(outcome, replace(port, seconds=0.0), self.lines)
        elif self.request.device != "cpu" and port.dtypes is not None and port.backend != HOST:
            progress(name, "the graph budget")
            outcome = self._budget(name, place, outcome)
        return outcome

    def _divergence(self, name: str, place: Path) -> Divergence | None:
        place.mkdir()
        try:
            reference = self._child(name, "reference", place, trace=True)
            port = self._child(name, "port", place, trace=True)
        except Timeout:
            return None
        if reference.dtypes is None or port.dtypes is None:
            return None
        return first_divergence(reference, port, place, self._device(port), self.lines)

    def _budget(self, name: str, place: Path, outcome: CaseOutcome) -> CaseOutcome:
        try:
            told = self._child(name, "budget", place)
        except Timeout as late:
            if late.told is None or late.told.budget is None:
                words = f"not done after {self.request.timeout:.0f} s (--timeout)"
                return judge_budget(outcome, Told(error=words, seconds=self.request.timeout), self.lines)
            told = late.told  # measured, and only the search for the lines took too long
        return judge_budget(outcome, told, self.lines)

    def _child(self, name: str, role: Role, place: Path, trace: bool = False, measure: bool = False) -> Told:
        paths, server = (self.reference, self.upstream) if role == "reference" else (self.port, self.ported)
        job = Job(
            role=role,
            case=name,
            device="cpu" if role == "reference" or self.request.device == "cpu" else "xla",
            preset=self.request.preset,
            seed=self.request.seed,
            steps=self.request.steps,
            trace=trace,
            cover=role == "port" and not trace,
            measure=measure,
            package=paths.package,
            search=paths.search,
            roots=paths.roots,
            config=self.config,
            folder=str(place),
        )
        return server.run(job, self.request.timeout)

    def _device(self, port: Told) -> str:
        """Whose tolerances count."""
        return "tpu" if port.backend == "TPU" else "cpu" if port.backend == HOST else "xla"


def _bisector(snapshot: Snapshot, folder: Path, judge: Judge) -> Bisector:
    from porter.validate.bisect import Bisector  # late: it takes the engine, and so libcst

    return Bisector(snapshot, read_manifest(folder), judge)


def _source_map(manifest: Manifest, tree: UpstreamTree) -> SourceMap:
    def target_text(target: str) -> str:
        try:
            return (manifest.package / target).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    pairs = [(target, path) for path, (target, _) in tree.sources.texts.items()]
    return SourceMap(manifest.edits, tree.text, target_text, pairs)
