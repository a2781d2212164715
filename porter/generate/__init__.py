"""From an upstream to a package on disk: read, rewrite, lay out, write, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PortError
from ..package.store import ChangedMeanwhileError, Place, recover, refuse_foreign, remember, write_package
from ..syntax.stack import with_room
from .freshness import unchanged
from .guard import DiskSurvey, back_up, old_manifest, read_edited, read_pristine, survey
from .merging import Conflict, Merged, Side, any_marked, merge_package, troubles
from .settings import Settings

if TYPE_CHECKING:
    from ..changes.packages.changes import Changes
    from ..inputs.upstream import Snapshot
    from ..package.base import Base
    from ..package.manifest import FileRecord, Manifest
    from .building import Built

__all__ = ["GenerateOutcome", "Settings", "build", "generate", "place_for"]

Step = Callable[[str], None]  # is told what is being done


_TRIES = 3  # somebody who saves a file while it is merged does not do so again and again


@dataclass(frozen=True, slots=True)
class GenerateOutcome:
    """What became of a package on disk; names are relative to the place's root."""

    place: Place
    manifest: Manifest
    written: bool  # False where everything was up to date, or a conflict of an earlier merge is still marked
    backup: Path | None = None  # where a package with hand edits was put
    changes: Changes | None = None  # since the package that was there; None where it could not be read
    edited: tuple[str, ...] = ()  # files with hand edits, which were kept
    added: tuple[str, ...] = ()  # files that somebody added, which were kept
    restored: tuple[str, ...] = ()  # files that somebody had deleted
    conflicts: tuple[Conflict, ...] = ()


def _silent(_: str) -> None:
    pass


def build(snapshot: Snapshot, settings: Settings, step: Step = _silent) -> Built:
    """The package as it would be written, in memory. PortError for input that cannot be used."""
    # Late: libcst takes longer to import than an unchanged run may last.
    from .building import build as build_now

    return build_now(snapshot, settings, step)


def generate(
    snapshot: Snapshot, place: Place, settings: Settings, *, force: bool = False, step: Step = _silent
) -> GenerateOutcome:
    """Make the package at `place` what `snapshot` and the rules say, and what was edited there by hand.

    Where that is so already nothing is parsed or written. PortError where something there is not ours or cannot
    be merged; `force` copies a package with hand edits to a backup folder and discards them.
    """
    make = cache(lambda: build(snapshot, settings, step))
    for left in reversed(range(_TRIES)):
        try:
            outcome = _generate(snapshot, place, settings, force, step, make)
        except ChangedMeanwhileError:
            if not left:
                raise
        else:
            remember(place.root, snapshot.spec, settings.made_with)
            return outcome
    raise AssertionError


def _generate(
    snapshot: Snapshot, place: Place, settings: Settings, force: bool, step: Step, make: Callable[[], Built]
) -> GenerateOutcome:
    recover(place)
    _refuse_upstream(place, settings)
    beside = () if settings.install else ("module/__init__.py",)
    refuse_foreign(place, beside)
    step("comparing with what is there")
    old = old_manifest(place, force=force)
    found = survey(place, old, beside)
    discards = force and bool(found.edited)
    ours = {} if discards else read_edited(place, found)
    pristine = read_pristine(place, old, found) if ours and old else {}
    left = troubles(ours, pristine)
    if old is not None and not discards and (any_marked(left) or unchanged(snapshot, place, settings, old)):
        return GenerateOutcome(place, old, written=False, edited=found.changed, added=found.added, conflicts=left)
    before = _base_of(place, old)
    built = make()
    changes = _changes(old, before, built)
    step("writing the package")
    merged = merge_package(_sides(pristine, old), ours, _sides(built.base.generated, built.manifest))
    return _write(place, found, built, merged, ours, changes, discards=discards)


def _write(
    place: Place,
    found: DiskSurvey,
    built: Built,
    merged: Merged,
    ours: Iterable[str],
    changes: Changes | None,
    *,
    discards: bool,
) -> GenerateOutcome:
    """Write what was built, with people's lines merged in."""
    from ..package.manifest import dump

    backup = back_up(place, found) if discards else None
    contents = {**built.contents, **merged.contents}
    write_package(place, contents, dump(built.manifest), found.state)
    made = built.manifest["files"].keys()
    kept = {name for name in ours if contents[name] != built.base.generated.get(name)}
    return GenerateOutcome(
        place,
        built.manifest,
        written=True,
        backup=backup,
        edited=tuple(sorted(kept & (made | set(found.changed)))),
        added=tuple(sorted(kept.intersection(found.added) - made)),
        restored=tuple(sorted(made & set(found.missing))),
        conflicts=merged.conflicts,
        changes=changes,
    )


def _base_of(place: Place, old: Manifest | None) -> Base | None:
    """What the package that is there was made from; None where that cannot be read, which is made good now."""
    from ..package.base import read_base

    try:
        return None if old is None else read_base(place.root, old)
    except PortError:
        return None


def _changes(old: Manifest | None, before: Base | None, built: Built) -> Changes | None:
    if old is None or before is None:
        return None
    from ..changes.packages.compare import compare

    return with_room(lambda: compare((old, before), (built.manifest, built.base)))


def _sides(contents: Mapping[str, bytes], manifest: Manifest | None) -> dict[str, Side]:
    records: Mapping[str, FileRecord] = manifest["files"] if manifest else {}
    return {name: Side(content, _header(records[name])) for name, content in contents.items()}


def _header(record: FileRecord) -> tuple[int, int]:
    return record["header_at"], record["header_at"] + record["header_lines"]


def place_for(snapshot: Snapshot, upstream: str, out: Path, *, install: bool, sources: Iterable[str] = ()) -> Place:
    """Where a package goes: below `out`, or into upstream's own folder `module`. PortError where it may not go.

    `sources` are the folders of upstream that a person named, if any.
    """
    from ..inputs.sources import find_layout

    if not install:
        _refuse_place(snapshot, upstream, out, sources)
        return Place(out)
    from ..inputs.upstream import DirectorySpec, parse
    from ..inputs.upstream.directory import DirectorySnapshot

    spec = parse(upstream)
    if not isinstance(spec, DirectorySpec) or not isinstance(snapshot, DirectorySnapshot):
        raise PortError(f"--install puts the package into a checkout, and {snapshot.spec} is not a folder of files")
    return Place(spec.path, find_layout(snapshot, sources).installed)


def _refuse_place(snapshot: Snapshot, upstream: str, out: Path, sources: Iterable[str]) -> None:
    """PortError for the top of the file system, and for what the next run would take for upstream's own."""
    from ..inputs.sources import find_layout
    from ..inputs.upstream import DirectorySpec, GitSpec, parse

    try:
        place = out.resolve()
    except (OSError, RuntimeError) as error:
        raise PortError(f"--out {out} cannot be used: {error}") from None
    if place == Path(place.anchor):
        raise PortError(f"--out {out} is the top of the file system; give a folder of its own")
    spec = parse(upstream)
    if isinstance(spec, (DirectorySpec, GitSpec)):
        layout = find_layout(snapshot, sources)
        own = (spec.path / layout.root).resolve()
        if layout.is_module and (place == own or own in place.parents):
            raise PortError(
                f"--out {out} lies in upstream's own folder {own.name}, where the package would be ported itself; "
                "give a folder outside, or use --install"
            )


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
