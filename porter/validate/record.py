"""Running upstream alone, and keeping everything that a port's run is compared with."""

from __future__ import annotations

import contextlib
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from porter.inputs.upstream import Snapshot
from porter.validate.cases import chosen
from porter.validate.checkpoint import check_fitted, converted
from porter.validate.children import Server, Timeout
from porter.validate.environment import check_packages, child_environment, cuda_device
from porter.validate.job import Job, Told
from porter.validate.recording import Header, writing
from porter.validate.rounding import measure_rounding
from porter.validate.settings import Preset
from porter.validate.tree import UpstreamTree


@dataclass(frozen=True)
class RecordRequest:
    """What to record, and how."""

    device: str = ""  # cpu or cuda; "" is cuda where there is one, else cpu
    preset: Preset = "full"
    cases: tuple[str, ...] = ()  # all, where empty
    seed: int = 0
    steps: int = 10  # batches after the first, for the graph budget
    timeout: float = 1800.0  # seconds for each case
    checkpoint: Path | None = None  # upstream's weights, where they fit
    sources: tuple[str, ...] = ()  # main folders of upstream, where the one that is found is not meant


@dataclass(frozen=True)
class Recorded:
    """What was recorded."""

    header: Header
    cases: dict[str, Told]

    @property
    def failures(self) -> dict[str, str]:
        """Why upstream itself failed, by case."""
        return {name: told.error for name, told in self.cases.items() if told.error}


def record(
    snapshot: Snapshot,
    out: Path,
    request: RecordRequest,
    progress: Callable[[str, str], None] = lambda case, state: None,
) -> Recorded:
    """Run upstream's side of the cases, and write the file `out`. PortError for input that cannot be used."""
    names = chosen(request.cases)
    versions = check_packages("cpu")
    device, name = _device(request.device)
    environment = child_environment(device)
    tree = UpstreamTree(snapshot, request.sources)
    cases: dict[str, Told] = {}
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as temporary, writing(out) as writer:
        workplace = Path(temporary).resolve()
        weights, sha256 = converted(request.checkpoint, workplace)
        paths = tree.lay_out_reference(workplace / "upstream")
        with Server(environment, paths.search, paths.package, False, workplace / "reference.log") as server:
            for case in names:
                progress(case, f"upstream on {name}")
                place = workplace / "cases" / case
                place.mkdir(parents=True)
                job = Job(
                    role="reference",
                    case=case,
                    device=device,
                    preset=request.preset,
                    seed=request.seed,
                    steps=request.steps,
                    trace=True,  # nobody can ask later
                    cover=False,
                    measure=False,
                    variations="cpu",  # which has all
                    package=paths.package,
                    search=paths.search,
                    roots=paths.roots,
                    config=tree.config(),
                    folder=str(place),
                    weights=weights,
                )
                cases[case] = _run(server, job, request.timeout)
                if cases[case].dtypes is not None:
                    progress(case, f"upstream in float64 on {name}")
                    _measure_rounding(
                        server, replace(job, role="exact", trace=False, variations=""), cases[case], request.timeout
                    )
                writer.add(case, place)
                shutil.rmtree(place)
                progress(case, state(cases[case]))
        check_fitted(request.checkpoint, (told.fitted for told in cases.values()))
        header = Header(
            spec=snapshot.spec,
            revision=snapshot.revision,
            sources={**tree.sources.consulted, **tree.sources.sha256},
            device=name,
            versions={"python": platform.python_version(), **versions},
            preset=request.preset,
            seed=request.seed,
            steps=request.steps,
            checkpoint=sha256,
            cases=names,
        )
        writer.finish(header)
    return Recorded(header, cases)


def state(told: Told) -> str:
    """What became of a case, in words."""
    if told.unavailable:
        return "not in this upstream"
    if told.error:
        return f"upstream failed: {told.error}" + (f" at {told.where}" if told.where else "")
    return "recorded"


def _run(server: Server, job: Job, seconds: float) -> Told:
    try:
        told = server.run(job, seconds)
    except Timeout:
        told = Told(error=f"it was not done after {seconds:.0f} s (--timeout)")
    # Seconds would make each recording differ, and a replay does not spend them.
    replace(told, seconds=0.0).save(job.path("reference.json"))
    return told


def _measure_rounding(server: Server, job: Job, reference: Told, seconds: float) -> None:
    """How far upstream's run is from one in float64, which nobody can ask later; left out where it cannot run so."""
    with contextlib.suppress(Timeout):
        exact = server.run(job, seconds)
        if exact.dtypes is not None:
            measure_rounding(reference, exact, Path(job.folder))
    for file in (job.path("exact.safetensors"), job.path("exact.json")):
        file.unlink(missing_ok=True)


def _device(asked: str) -> tuple[str, str]:
    """The device, and its name."""
    cuda = "" if asked == "cpu" else cuda_device(asked == "cuda")
    return ("cuda", cuda) if cuda else ("cpu", f"CPU ({platform.machine()})")
