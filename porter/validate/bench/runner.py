"""Running the sides of each case one after the other, each in a process of its own with a time limit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import PortError
from porter.inputs.upstream import Snapshot
from porter.validate.bench.outcome import BenchOutcome, CaseFigures, Side, SideFigures, Verdict
from porter.validate.bench.steps import read_steps
from porter.validate.cases import chosen
from porter.validate.children import Server, Timeout
from porter.validate.environment import check_packages, child_environment
from porter.validate.job import Job, Role, Told
from porter.validate.judge import source_map
from porter.validate.manifest import check_same_upstream, read_manifest
from porter.validate.settings import Preset
from porter.validate.sourcemap import SourceMap
from porter.validate.tree import Paths, UpstreamTree

CASES = ("synthesizer.v2.forward", "discriminator.v2")  # what a training step runs
Progress = Callable[[str, Side | None], None]  # case, the side that runs now; None while its work is made
_SEED = 0
_DEVICE = "xla"


@dataclass(frozen=True)
class BenchRequest:
    """What to measure, and how."""

    cases: tuple[str, ...] = CASES
    preset: Preset = "full"
    steps: int = 5  # after the first
    timeout: float = 1800.0  # seconds for each process


def bench(
    snapshot: Snapshot,
    folder: Path,
    other: Path | None,
    request: BenchRequest,
    progress: Progress = lambda case, side: None,
) -> BenchOutcome:
    """Measure `snapshot` itself, the package at `folder`, and the one at `other/module/tpu`.

    PortError for input that cannot be used.
    """
    names = chosen(request.cases)
    manifest = read_manifest(folder)
    check_same_upstream(manifest, snapshot)
    if other is not None and not (other / "module" / "tpu").is_dir():
        raise PortError(f"{other} has no module/tpu; give --other a folder that holds another port")
    versions = check_packages(_DEVICE, "bench")
    environment = child_environment(_DEVICE, quick=request.preset == "tiny")
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as temporary, ExitStack() as servers:
        workplace = Path(temporary).resolve()
        tree = UpstreamTree(snapshot, manifest.sources)
        upstream = tree.lay_out_reference(workplace / "upstream")
        paths: dict[Side, Paths] = {
            "unported": upstream,
            "port": tree.lay_out_rest(workplace / "rest", manifest.root),
        }
        if other is not None:
            paths["other"] = _beside(tree, workplace / "other", other)

        def process(name: str, place: Paths, xla: bool) -> _Process:
            server = Server(environment, place.search, place.package, xla, workplace / f"{name}.log")
            servers.callback(server.close)  # not entered: each starts when it is needed, not beside another's steps
            return _Process(server, place)

        runner = _Runner(
            request=request,
            config=tree.config(),
            lines=source_map(manifest, tree),
            maker=process("maker", upstream, xla=False),
            sides={side: process(side, place, xla=True) for side, place in paths.items()},
        )
        cases = []
        for name in names:
            place = workplace / "cases" / name
            place.mkdir(parents=True)
            cases.append(runner.run(name, place, progress))
            shutil.rmtree(place)
    if all(case.unavailable for case in cases):
        raise PortError(f"there is nothing to measure: {cases[0].unavailable}")
    return BenchOutcome(
        upstream=snapshot.spec,
        revision=snapshot.revision,
        port=folder.resolve().name,
        other=other.resolve().name if other is not None else "",
        preset=request.preset,
        steps=request.steps,
        timeout=request.timeout,
        versions=versions,
        cases=tuple(cases),
    )


@dataclass(frozen=True)
class _Process:
    server: Server
    paths: Paths


@dataclass(frozen=True)
class _Runner:
    """Everything that is the same for all cases."""

    request: BenchRequest
    config: dict[str, Any] | None
    lines: SourceMap
    maker: _Process  # of weights and batches: upstream on the CPU
    sides: Mapping[Side, _Process]

    def run(self, name: str, place: Path, progress: Progress) -> CaseFigures:
        """All sides of one case in the folder `place`."""
        progress(name, None)
        try:
            made = self._child(self.maker, name, "reference", place)
        except Timeout:
            return CaseFigures(name, problem=f"upstream on the CPU was {self._late}")
        if made.unavailable:
            return CaseFigures(name, unavailable=made.unavailable)
        if made.error:
            at = f" at {made.where}" if made.where else ""
            return CaseFigures(name, problem=f"upstream on the CPU failed: {made.error}{at}")
        sides = []
        for side, process in self.sides.items():
            progress(name, side)
            sides.append(self._side(side, process, name, place))
        return CaseFigures(name, tuple(sides))

    def _side(self, side: Side, process: _Process, name: str, place: Path) -> SideFigures:
        costs = place / "steps.json"
        costs.unlink(missing_ok=True)
        verdict: Verdict
        try:
            told = self._child(process, name, "unported" if side == "unported" else "ported", place)
            error = told.error or told.unavailable
            verdict = "error" if error else "complete"
        except Timeout as late:
            told = Told(where=late.where, seconds=self.request.timeout)
            verdict, error = "timeout", self._late
        return SideFigures(
            side=side,
            verdict=verdict,
            steps=read_steps(costs),
            error=error,
            where=str(self.lines.locate_text(told.where)) if side == "port" and told.where else told.where,
            findings=told.findings,
            backend=told.backend,
            seconds=told.seconds,
        )

    def _child(self, process: _Process, name: str, role: Role, place: Path) -> Told:
        job = Job(
            role=role,
            case=name,
            device="cpu" if role == "reference" else _DEVICE,
            preset=self.request.preset,
            seed=_SEED,
            steps=self.request.steps,
            trace=False,
            cover=False,
            measure=False,
            package=process.paths.package,
            search=process.paths.search,
            roots=process.paths.roots,
            config=self.config,
            folder=str(place),
        )
        return process.server.run(job, self.request.timeout)

    @property
    def _late(self) -> str:
        return f"not done after {self.request.timeout:.0f} s (--timeout)"


def _beside(tree: UpstreamTree, folder: Path, other: Path) -> Paths:
    try:
        return tree.lay_out_beside(folder, other / "module" / "tpu")
    except OSError as error:
        raise PortError(f"cannot copy {other / 'module' / 'tpu'}: {error}") from error
