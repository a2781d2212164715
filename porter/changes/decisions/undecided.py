"""A package as the rules alone would have it, from what port.json and port.base keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...package.base import Base
from ..hunks import Hunk, hunks_of

if TYPE_CHECKING:
    from ...package.manifest import Manifest


def undecided(manifest: Manifest, base: Base) -> tuple[Manifest, Base]:
    """The two without what decisions changed: hunks, edits and text are those that a person decides about."""
    if not base.undecided:
        return manifest, base
    kept = manifest["decisions"]["undecided"]
    replaced = {name.removeprefix(f"{manifest['package']}/") for name in base.undecided}
    edits = [edit for edit in manifest["edits"] if edit["target"] not in replaced] + kept
    return (
        {**manifest, "edits": sorted(edits, key=lambda e: (e["file"], e["line"], e["column"]))},
        Base(base.upstream, {**base.generated, **base.undecided}),
    )


def undecided_hunks(manifest: Manifest, base: Base) -> list[Hunk]:
    """All hunks that a person decides about, in order of file and line."""
    return hunks_of(*undecided(manifest, base))
