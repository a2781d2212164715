"""The hazards of a run: those of ported code that it reaches, and what is found in files that are not ported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ...errors import PortError
from ...inputs.sources import TRAINERS, Tree
from ...inputs.sources.survey import Survey
from .reached import Reached

if TYPE_CHECKING:
    from ...generate.building import Built
    from ...inputs.upstream import Snapshot
    from ...package.manifest import HazardRecord, HazardsRecord, Manifest, ScopeRecord

Asked = Literal["ported", "inference", "training", "all"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and the hazards there; paths are upstream's."""

    scope: Asked
    start: tuple[str, ...]  # the files that such a run starts with; none for "ported" and "all"
    ported: tuple[str, ...]
    not_ported: tuple[str, ...]
    host: tuple[str, ...]  # reached, and not looked at
    hazards: HazardsRecord
    contents: Mapping[str, bytes]  # of the files that are not ported


def check_run(snapshot: Snapshot, built: Built, asked: Asked, step: Callable[[str], None]) -> Checked:
    """The hazards of what `asked` reaches. PortError where upstream holds nothing that such a run could start with."""
    if asked == "ported":
        return check_ported(built.manifest)
    step(f"looking at what {asked} reaches" if asked != "all" else "looking at what is not ported")
    scope, ported = built.manifest["scope"], built.sources.texts.keys()
    survey, start = Survey(Tree(snapshot, built.sources.layout)), _start(snapshot, scope, asked)
    files = survey.reach(start) if start else frozenset({*ported, *scope["not_ported"], *scope["host"]})
    host = files & set(scope["host"])
    left = tuple(sorted(filter(survey.uses_torch, files - host - ported)))
    ours = tuple(sorted(files & ported))
    looked_at = [*ours, *left]
    found = [*built.manifest["hazards"]["list"], *_not_ported(survey, looked_at, left, scope)]
    hazards = [hazard for hazard in found if hazard["file"] in files]
    if start:
        reached = Reached({path: survey.syntax(path) for path in looked_at}, start, whole=asked == "inference")
        hazards = [hazard for hazard in hazards if reached.covers(hazard["file"], hazard["line"])]
    return Checked(asked, start, ours, left, tuple(sorted(host)), _told(hazards), snapshot.read_many(left))


def _told(hazards: list[HazardRecord]) -> HazardsRecord:
    counts = Counter(hazard["status"] for hazard in hazards)
    return {
        "fixed": counts["fixed"],
        "waived": counts["waived"],
        "residual": counts["residual"],
        "not_ported": counts["not ported"],
        "list": hazards,
    }


def check_ported(manifest: Manifest) -> Checked:
    """The hazards of what is ported, which a package's own port.json tells."""
    ported = {record["upstream"] for record in manifest["files"].values() if record["upstream"] is not None}
    return Checked("ported", (), tuple(sorted(ported)), (), (), manifest["hazards"], {})


_SAYS = {"inference": "builds a ported network to speak with", "training": "trains one"}


def _start(snapshot: Snapshot, scope: ScopeRecord, asked: Asked) -> tuple[str, ...]:
    if asked == "all":
        return ()
    start = scope["inference"] if asked == "inference" else scope["training"]
    if not start:
        raise PortError(
            f"{snapshot.spec} holds no file that {_SAYS[asked]}, so nothing tells what {asked} reaches; "
            "--scope all looks at all of it"
        )
    return tuple(start)


def _not_ported(survey: Survey, looked_at: list[str], left: tuple[str, ...], scope: ScopeRecord) -> list[HazardRecord]:
    """What the scan finds in files as upstream has them."""
    from ...analysis.parsing import parse_file
    from ...package.manifest.describe import hazard_record
    from ...syntax.stack import with_room
    from ..scan import scan_upstream

    def target(path: str) -> str:
        if path in scope["training"]:
            return f"{TRAINERS}/{path.rpartition('/')[2]}"
        return survey.tree.layout.place(path)

    modules = {path: (target(path), parse_file(path, survey.text(path))) for path in looked_at}
    records = [hazard_record(replace(h, target=""), 0) for h in with_room(lambda: scan_upstream(modules, left))]
    return [{**r, "status": "not ported" if r["status"] == "residual" else r["status"]} for r in records]
