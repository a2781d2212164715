"""Tracing the port's graphs, asking the compiler about each, and searching for what fits."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from porter.errors import PortError
from porter.estimate.chips import CHIPS, Chip
from porter.estimate.compiler import Compiler
from porter.estimate.exchange import Asked, Sizes, Traced, load_traced
from porter.estimate.fit import Probe, largest
from porter.estimate.lengths import batches, buckets, longer
from porter.estimate.names import graph_name, wanted
from porter.estimate.outcome import EstimateOutcome, Fit, GraphOutcome, Said
from porter.estimate.pair import named_by_torch_xla
from porter.inputs.upstream import Snapshot
from porter.validate.children import Server, Timeout
from porter.validate.environment import child_environment
from porter.validate.job import Job
from porter.validate.judge import source_map
from porter.validate.manifest import Manifest, check_same_upstream, read_manifest
from porter.validate.outcome import Fusion
from porter.validate.settings import Preset, make_settings
from porter.validate.tree import UpstreamTree

# What runs now, how many compiles are done, and of how many: None where nobody knows yet.
Progress = Callable[[str, int, int | None], None]
_FULL = Sizes(8, 400, 100)
_SEED = 0


@dataclass(frozen=True)
class EstimateRequest:
    """What to compile, and for what."""

    chips: tuple[str, ...]
    cases: tuple[str, ...] = ()  # none: the default ones
    preset: Preset = "full"
    batch: int | None = None
    frames: int | None = None
    phonemes: int | None = None
    bf16: bool = False
    fit: bool = False
    timeout: float = 1800.0  # seconds for each process


@dataclass(frozen=True)
class Graph:
    """A graph that was traced, or why there is none."""

    name: str
    chip: str
    code: bytes = b""
    trained: int = 0
    unavailable: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    fusions: tuple[Fusion, ...] = ()

    @property
    def outcome(self) -> GraphOutcome:
        """What is known before anything was compiled."""
        return GraphOutcome(self.name, len(self.code), self.trained, (), self.unavailable, self.problem)


def estimate(
    snapshot: Snapshot,
    folder: Path,
    request: EstimateRequest,
    compiler: Compiler,
    versions: Mapping[str, str],
    progress: Progress = lambda what, done, total: None,
) -> EstimateOutcome:
    """What `compiler` says of the package at `folder`, made from `snapshot`. PortError for input of no use."""
    names = wanted(request.cases)
    manifest = read_manifest(folder)
    check_same_upstream(manifest, snapshot)
    with Tracing(snapshot, manifest, request) as tracing:
        sizes = tracing.sizes
        graphs: list[Graph] = []
        for case, patterns in names.items():
            for chip in request.chips:
                progress(f"{case}: tracing for {chip}", 0, None)
                graphs += tracing.trace(case, patterns, sizes, chip)
        if all(graph.unavailable for graph in graphs):
            raise PortError(f"there is nothing to compile: {graphs[0].unavailable}")
        outcomes = tuple(_compile_all(graphs, compiler, progress))
        fits: tuple[Fit, ...] = ()
        if request.fit:
            fits = tuple(_fits(outcomes, request.chips, tracing, compiler, progress))
    return EstimateOutcome(
        upstream=snapshot.spec,
        revision=snapshot.revision,
        port=folder.resolve().name,
        preset=request.preset,
        sizes=sizes,
        bf16=request.bf16,
        timeout=request.timeout,
        chips=request.chips,
        versions=dict(versions),
        graphs=outcomes,
        fits=fits,
        named=named_by_torch_xla(),
    )


class Tracing(AbstractContextManager["Tracing"]):
    """The port laid out so that it can be imported, and a process that traces its graphs."""

    def __init__(self, snapshot: Snapshot, manifest: Manifest, request: EstimateRequest) -> None:
        """`manifest` is of the package to trace. PortError where the sizes asked for cannot be."""
        self._request = request
        self._manifest = manifest
        self._tree = UpstreamTree(snapshot, manifest.sources)
        self._config: dict[str, Any] | None = self._tree.config()
        settings = make_settings(self._config, request.preset)
        usual = Sizes(settings.batch, settings.frames, settings.phonemes) if settings.tiny else _FULL
        self.least = settings.segment  # frames: the decoder is given that many of each sample
        self.sizes = Sizes(
            request.batch or usual.batch, request.frames or usual.frames, request.phonemes or usual.phonemes
        )
        if self.sizes.frames < self.least:
            raise PortError(
                f"--frames {self.sizes.frames} is less than the {self.least} frames that the decoder is given"
            )
        if self.sizes.frames % 2:
            raise PortError(f"--frames {self.sizes.frames} is odd; spectrograms are padded to an even length")
        self._open = ExitStack()

    def __enter__(self) -> Tracing:
        with ExitStack() as stack:
            self._place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-port-"))).resolve()
            self._paths = self._tree.lay_out_rest(self._place / "rest", self._manifest.root)
            environment = {
                **child_environment("cpu"),
                "PJRT_DEVICE": "CPU",  # a TPU is not touched, even where there is one
            }
            log = self._place / "tracing.log"
            self._server = Server(environment, self._paths.search, self._paths.package, True, log)
            stack.callback(self._server.close)
            self._lines = source_map(self._manifest, self._tree)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def trace(self, case: str, patterns: tuple[str, ...], sizes: Sizes, chip: str) -> list[Graph]:
        """The graphs of a case at these sizes for a chip: the case itself for the pattern "", submodules for others.

        For the chip "" they are those of the device that traces them, XLA's CPU.
        """
        folder = self._place / "case"
        folder.mkdir()
        try:
            parts = tuple(filter(None, patterns))
            Asked(sizes, chip, self._request.bf16, "" in patterns, parts).save(folder)
            unavailable, problem = self._lower(case, folder)
            traced = load_traced(folder)
            graphs = [self._read(case, graph, folder, chip) for graph in traced]
            if unavailable or problem:
                there = {graph.part for graph in traced}
                missing = [pattern for pattern in patterns if pattern not in there]
                graphs += [
                    Graph(graph_name(case, part), chip, unavailable=unavailable, problem=problem) for part in missing
                ]
            return graphs
        finally:
            shutil.rmtree(folder)

    def _lower(self, case: str, folder: Path) -> tuple[str, str]:
        """Have a case traced into a folder; why it is unavailable, and what went wrong, "" where nothing did."""
        try:
            told = self._server.run(self._job(case, folder), self._request.timeout)
        except Timeout as late:
            return "", self._placed(f"not traced after {self._request.timeout:.0f} s (--timeout)", late.where)
        return told.unavailable, self._placed(told.error, told.where)

    def _read(self, case: str, traced: Traced, folder: Path, chip: str) -> Graph:
        code = (folder / traced.file).read_bytes() if traced.file else b""
        name = graph_name(case, traced.part)
        fusions = tuple(Fusion(*one) for one in traced.fusions)
        return Graph(name, chip, code, traced.trained, problem=traced.error, notes=traced.notes, fusions=fusions)

    def _placed(self, error: str, where: str) -> str:
        return f"{error} at {self._lines.locate_text(where)}" if error and where else error

    def _job(self, case: str, folder: Path) -> Job:
        return Job(
            role="lowered",
            case=case,
            device="xla",
            preset=self._request.preset,
            seed=_SEED,
            steps=0,
            trace=False,
            cover=False,
            measure=False,
            package=self._paths.package,
            search=self._paths.search,
            roots=self._paths.roots,
            config=self._config,
            folder=str(folder),
        )


def _compile_all(graphs: list[Graph], compiler: Compiler, progress: Progress) -> Iterator[GraphOutcome]:
    """One outcome for all graphs of a name, which are for different chips."""
    total = sum(map(_is_traced, graphs))
    done = 0
    for name in dict.fromkeys(graph.name for graph in graphs):
        alike = [graph for graph in graphs if graph.name == name]
        said: list[tuple[str, Said]] = []
        for graph in filter(_is_traced, alike):
            progress(f"{name} for {graph.chip}", done, total)
            said.append((graph.chip, _ask(compiler, graph, CHIPS[graph.chip])))
            done += 1
        outcome = next(itertools.filterfalse(_is_traced, alike), alike[0]).outcome
        notes = tuple((graph.chip, note) for graph in alike for note in graph.notes)
        fusions = tuple((graph.chip, graph.fusions) for graph in alike if graph.fusions)
        yield replace(outcome, said=tuple(said), notes=notes, fusions=fusions)


def _is_traced(graph: Graph) -> bool:
    return bool(graph.code)


def _ask(compiler: Compiler, graph: Graph, chip: Chip) -> Said:
    return compiler.compile(graph.code, chip).placed(chip, graph.outcome.moments)


def _fits(
    outcomes: tuple[GraphOutcome, ...], chips: tuple[str, ...], tracing: Tracing, compiler: Compiler, progress: Progress
) -> Iterator[Fit]:
    """For each graph that compiled: the largest batch in this bucket, then the longest bucket for this batch."""
    sizes = tracing.sizes
    for outcome in outcomes:
        for chip, said in outcome.said:
            if not said.lasting:
                continue
            for what, choices, start in (
                ("batch", batches(), sizes.batch),
                ("frames", buckets(tracing.least), sizes.frames),
            ):
                search = _Trial(outcome.name, CHIPS[chip], sizes, what, tracing, compiler, progress)
                found = largest(choices, start, CHIPS[chip].usable.value, search.probe)
                yield Fit(outcome.name, chip, "batch" if what == "batch" else "frames", sizes, found)


@dataclass(slots=True)
class _Trial:
    """One search: compiles of one graph at growing sizes."""

    name: str
    chip: Chip
    sizes: Sizes
    what: str
    tracing: Tracing
    compiler: Compiler
    progress: Progress
    done: int = 0

    def probe(self, size: int) -> Probe:
        """Trace and compile at `size`."""
        sizes = replace(self.sizes, batch=size) if self.what == "batch" else longer(self.sizes, size)
        self.progress(f"{self.name} for {self.chip.name}: does it fit with {sizes}", self.done, None)
        self.done += 1
        case, _, part = self.name.partition("/")
        graph = next(g for g in self.tracing.trace(case, (part,), sizes, self.chip.name))
        if not graph.code:
            return Probe(size, False, problem=f"{sizes}: {graph.problem or graph.unavailable}")
        said = _ask(self.compiler, graph, self.chip)
        mark = hashlib.sha256(graph.code).hexdigest()
        if not said.lasting:
            return Probe(size, False, 0, mark, f"{sizes}: {said.error}")
        return Probe(size, said.verdict == "compiles", said.needs, mark)
