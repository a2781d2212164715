"""Would generating again change anything, and why; and what one generate changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...package.store import Place, edited_files, remembered
from ...syntax.stack import with_room
from .changelog import changes_since

if TYPE_CHECKING:
    from ...generate.merging import Conflict
    from ...inputs.upstream import Snapshot
    from ...package.manifest import DecisionRecord, Manifest
    from ..packages.changes import Changes

__all__ = ["Standing", "standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a package stands to upstream, rules and tool of today."""

    place: Place
    manifest: Manifest  # of the package on disk
    after: Manifest  # of the package that generating would write
    changes: Changes | None  # None where tool, rules, options and upstream are what they were
    edited: tuple[str, ...]  # files that somebody changed or added: generating keeps the edits
    missing: tuple[str, ...]  # files that generating would write again
    marked: tuple[Conflict, ...] = ()  # conflicts of an earlier merge that nobody has solved: generating waits for that

    @property
    def stale(self) -> bool:
        """Whether generating would change anything."""
        return self.changes is not None or bool(self.missing)

    @property
    def lost(self) -> tuple[DecisionRecord, ...]:
        """Decisions that do nothing today: upstream's code there, or the rules for it, are others."""
        return tuple(decision for decision in self.after["decisions"]["list"] if decision["stale"])

    @property
    def news(self) -> tuple[str, ...]:
        """What the changelog tells of the versions of the tool since the one that made the package."""
        return changes_since(self.manifest["version"]) if self.changes is not None else ()

    @property
    def outdated(self) -> bool:
        """Whether generating would change more than what headers and port.json tell of revision and tool."""
        changed = self.changes.package if self.changes is not None else ()
        return bool(self.missing) or any(change.kind != "header" for change in changed)


def standing(
    snapshot: Snapshot,
    place: Place,
    folders: Sequence[Path] = (),
    step: Callable[[str], None] = lambda _: None,
    decisions: Path | None = None,
) -> Standing:
    """Compare the package at `place` with what `snapshot` would become, with the package's own options.

    `folders` are those given as --rules, `decisions` is the file given as --decisions; without them they are those that
    the package was made with. Nothing is parsed where nothing changed, and nothing is ever written.
    """
    from ...generate import Settings
    from ...generate.freshness import same_inputs
    from ...generate.guard import still_marked
    from ...package.base import NAME
    from ...package.manifest import output_hashes, read_package
    from ..decisions import NAME as DECISIONS
    from ..decisions import read

    step("reading the package")
    manifest = read_package(place)
    options = manifest["options"]
    made = remembered(place.root, manifest["upstream"]["spec"])
    told = read(decisions or made.decisions or place.root / DECISIONS)
    rules = tuple(folders) or made.rules
    settings = Settings(
        tuple(options["select"]),
        tuple(options["ignore"]),
        rules,
        options["install"],
        tuple(options.get("sources", ())),
        told,
    )
    hashes = {**output_hashes(manifest), NAME: manifest["base"]}
    edited = edited_files(place, hashes, missing=False)
    missing = tuple(sorted(set(edited_files(place, hashes)) - set(edited)))
    marked = still_marked(place, edited)
    step("comparing with upstream")
    if same_inputs(snapshot, settings, manifest):
        return Standing(place, manifest, manifest, None, tuple(edited), missing, marked)
    from ...generate import build
    from ...package.base import read_base
    from ..packages.compare import compare

    base = read_base(place.root, manifest)
    built = build(snapshot, settings, step)
    step("comparing with what is there")
    changes = with_room(lambda: compare((manifest, base), (built.manifest, built.base)))
    return Standing(place, manifest, built.manifest, changes, tuple(edited), missing, marked)
