"""From an upstream to a package on disk: read, rewrite, lay out, write, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PortError
from ..store import Place, recover, refuse_foreign, write_package
from .freshness import unchanged
from .guard import back_up, edited, old_manifest
from .settings import Settings

if TYPE_CHECKING:
    from ..base import Base
    from ..manifest import Manifest
    from ..status.changes import Changes
    from ..upstream import Snapshot
    from .building import Built

__all__ = ["Outcome", "Settings", "build", "generate", "place_for"]

Step = Callable[[str], None]  # is told what is being done


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a package on disk."""

    place: Place
    manifest: Manifest
    written: bool  # False where everything was up to date
    backup: Path | None = None  # where a package with hand edits was put
    changes: Changes | None = None  # since the package that was there; None where it could not be read


def _silent(_: str) -> None:
    pass


def build(snapshot: Snapshot, settings: Settings, step: Step = _silent) -> Built:
    """The package as it would be written, in memory. PortError for input that cannot be used."""
    from .building import (
        build as build_now,
    )  # late: libcst takes longer to import than an unchanged run may last

    return build_now(snapshot, settings, step)


def generate(
    snapshot: Snapshot, place: Place, settings: Settings, *, force: bool = False, step: Step = _silent
) -> Outcome:
    """Make the package at `place` what `snapshot` and the rules say.

    Where that is so already nothing is parsed or written. PortError where something there is not ours or was
    edited by hand; `force` copies a package with hand edits to a backup folder first.
    """
    recover(place)
    _refuse_upstream(place, settings)
    refuse_foreign(place, () if settings.install else ("module/__init__.py",))
    step("comparing with what is there")
    old = old_manifest(place, force=force)
    changed = edited(place, old)
    if changed and not force:
        raise PortError(_told(place, changed))
    if old is not None and unchanged(snapshot, place, settings, old):
        return Outcome(place, old, written=False)
    before = _base_of(place, old)
    built = build(snapshot, settings, step)
    changes = _changes(old, before, built)
    step("writing the package")
    from ..manifest import dump

    backup = back_up(place, old) if changed else None
    write_package(place, built.contents, dump(built.manifest))
    return Outcome(place, built.manifest, written=True, backup=backup, changes=changes)


def _base_of(place: Place, old: Manifest | None) -> Base | None:
    """What the package that is there was made from; None where that cannot be read, which is made good now."""
    from ..base import read_base

    try:
        return None if old is None else read_base(place.root, old)
    except PortError:
        return None


def _changes(old: Manifest | None, before: Base | None, built: Built) -> Changes | None:
    if old is None or before is None:
        return None
    from ..status.compare import compare

    return compare((old, before), (built.manifest, built.base))


def place_for(snapshot: Snapshot, upstream: str, out: Path, *, install: bool) -> Place:
    """Where a package goes: below `out`, or into upstream's own folder `module`, on disk."""
    if not install:
        return Place(out)
    from ..sources import find_module_root
    from ..upstream import DirectorySpec, parse
    from ..upstream.directory import DirectorySnapshot

    spec = parse(upstream)
    if not isinstance(spec, DirectorySpec) or not isinstance(snapshot, DirectorySnapshot):
        raise PortError(f"--install puts the package into a checkout, and {snapshot.spec} is not a folder of files")
    return Place(spec.path, f"{find_module_root(snapshot)}/tpu")


def _refuse_upstream(place: Place, settings: Settings) -> None:
    """PortError for an output folder that holds upstream's own `module`: its `__init__.py` is not ours."""
    if settings.install:
        return
    own = place.package_dir.parent
    if any(path.name != "__init__.py" for path in own.glob("*.py")):
        raise PortError(
            f"{own} holds Python files that are not ours, so the package is not put beside them; "
            "for a checkout of upstream use --install"
        )


def _told(place: Place, names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"files in {place.root} were edited by hand since they were generated ({shown}); "
        "--force keeps them in a backup folder and writes new ones"
    )
