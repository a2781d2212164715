"""Running cases one after the other: reference, port, comparison, and on XLA the graph budget."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter.upstream import Snapshot
from porter.validate.cases import chosen
from porter.validate.children import Server, Timeout
from porter.validate.environment import check_packages, child_environment
from porter.validate.inventory import take_inventory
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


def validate(
    snapshot: Snapshot, folder: Path, request: Request, progress: Progress = lambda case, state: None
) -> Outcome:
    """Judge the package at `folder` against `snapshot`. PortError for input that cannot be judged."""
    names = chosen(request.cases)
    manifest = read_manifest(folder)
    check_same_upstream(manifest, snapshot)
    versions = check_packages(request.device)
    environment = child_environment(request.device, quick=request.preset == "tiny")
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as temporary:
        workplace = Path(temporary).resolve()
        tree = UpstreamTree(snapshot)
        reference = tree.lay_out_reference(workplace / "upstream")
        port = tree.lay_out_rest(workplace / "rest", manifest.root)
        xla = request.device != "cpu"
        outcomes = []
        with (
            Server(environment, reference.search, reference.package, False, workplace / "reference.log") as old,
            Server(environment, port.search, port.package, xla, workplace / "port.log") as new,
        ):
            judge = _Judge(request, reference, port, tree.config(), _source_map(manifest, tree), old, new)
            for name in names:
                place = workplace / "cases" / name
                place.mkdir(parents=True)
                outcomes.append(judge.run(name, place, progress))
                progress(name, outcomes[-1].verdict)
                shutil.rmtree(place)
    inventory = take_inventory(tree.sources.texts) if not request.cases else None
    missing = inventory.missing(name for case in outcomes if case.passed for name in case.ran) if inventory else ()
    return Outcome(
        upstream=snapshot.spec,
        revision=snapshot.revision,
        port=folder.resolve().name,
        device=request.device,
        preset=request.preset,
        seed=request.seed,
        versions=versions,
        cases=tuple(outcomes),
        validated=len(inventory.judged) - len(missing) if inventory else 0,
        not_validated=missing,
        host_only=inventory.excused if inventory else (),
    )


@dataclass(frozen=True)
class _Judge:
    """Everything that is the same for all cases."""

    request: Request
    reference: Paths
    port: Paths
    config: dict[str, Any] | None
    lines: SourceMap
    upstream: Server
    ported: Server

    def run(self, name: str, place: Path, progress: Progress) -> CaseOutcome:
        """Run one case in the folder `place`."""
        role: Role = "reference"
        try:
            progress(name, "upstream on the CPU")
            reference = self._child(name, role, place)
            if reference.error or reference.unavailable:
                return judge_failure(name, _SIDES[role], reference, None)
            role = "port"
            progress(name, f"the port on {self.request.device}")
            at_once = self.request.device != "cpu" and not reference.draws and not reference.kinks
            port = self._child(name, role, place, measure=at_once)
            if port.error:
                outcome = judge_failure(name, _SIDES[role], port, self.lines)
            elif port.dtypes is None:  # its parameters are not upstream's, so nothing was run
                spent = reference.seconds + port.seconds
                outcome = CaseOutcome(name, "mismatch", port.findings, backend=port.backend, seconds=spent)
            else:
                outcome = judge_tensors(name, reference, port, place, self._device(port), self.lines)
        except Timeout:
            return judge_timeout(name, _SIDES[role], self.request.timeout)
        if any(report.group == "results" and not report.passed for report in outcome.tensors):
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


def _source_map(manifest: Manifest, tree: UpstreamTree) -> SourceMap:
    def target_text(target: str) -> str:
        try:
            return (manifest.package / target).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""

    pairs = [(target, path) for path, (target, _) in tree.sources.texts.items()]
    return SourceMap(manifest.edits, tree.text, target_text, pairs)
