"""Hand edits in a package that is about to be replaced: noticed, and never lost."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PortError
from ..inputs.sources import digest
from ..package.base import NAME, read_base
from ..package.manifest import output_hashes, read
from ..package.store import MANIFEST, ChangedMeanwhileError, Place, state_of
from .merging import Conflict, troubles

if TYPE_CHECKING:
    from ..package.manifest import Manifest

BACKUP = ".backup-"


@dataclass(frozen=True, slots=True)
class DiskSurvey:
    """What is at a place, against what was generated there; names are relative to the place's root, sorted."""

    state: Mapping[str, str]  # SHA-256 of each file, for `write_package`
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    base_lost: bool = False  # port.base is not the one of port.json

    @property
    def edited(self) -> tuple[str, ...]:
        """Files that somebody changed or added."""
        return tuple(sorted((*self.changed, *self.added)))

    @property
    def complete(self) -> bool:
        """Whether everything that was generated is there, edited or not."""
        return not (self.missing or self.base_lost)


def old_manifest(place: Place, *, force: bool) -> Manifest | None:
    """The manifest of the package at `place`, or None; a damaged one too, where `force` says to go on."""
    try:
        return read(place.root)
    except PortError:
        if force:
            return None
        raise


def survey(place: Place, manifest: Manifest | None, beside: Iterable[str] = ()) -> DiskSurvey:
    """Look at `place`. PortError for unreadable files.

    Where no manifest tells what was generated, all files are added ones, those of `beside` too unless empty.
    """
    hashes = output_hashes(manifest) if manifest else {}
    state = state_of(place, (*hashes, *beside, MANIFEST, NAME))
    gone = {name for name in hashes if not os.path.lexists(place.root / name)}
    added = set(filter(place.holds, state))
    if manifest is None:
        added |= {name for name in beside if state[name] not in ("", digest(b""))}
    return DiskSurvey(
        state,
        # A folder where a file was has no digest of its own.
        tuple(sorted(name for name in {*hashes} - gone if state.get(name) != hashes[name])),
        tuple(sorted(added - {*hashes})),
        tuple(sorted(gone)),
        base_lost=manifest is not None and state[NAME] != manifest["base"],
    )


def read_edited(place: Place, found: DiskSurvey) -> dict[str, bytes]:
    """The files that were edited. PortError for what cannot be merged: links, folders, what is not Python."""
    contents = {}
    for name in found.edited:
        path = place.root / name
        if path.is_symlink() or not path.is_file():
            raise PortError(f"{path} is {_kind(path)}, where only Python files are kept; {_FORCE}")
        if path.suffix != ".py":
            raise PortError(f"{path} is no Python file, and nothing else is kept there; {_FORCE}")
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            raise PortError(f"cannot read {path}: {error.strerror or error}") from None
        if digest(contents[name]) != found.state[name]:
            raise ChangedMeanwhileError(f"{path} was changed while it was read; run it again")
    return contents


def still_marked(place: Place, names: Iterable[str]) -> tuple[Conflict, ...]:
    """Conflicts of an earlier merge in these files; what is no file that can be read has none."""
    contents = {}
    for name in names:
        path = place.root / name
        if path.suffix == ".py" and path.is_file():
            with contextlib.suppress(OSError):
                contents[name] = path.read_bytes()
    return troubles(contents, {})


def read_pristine(place: Place, manifest: Manifest, found: DiskSurvey) -> Mapping[str, bytes]:
    """The files as they were generated. PortError where port.base does not tell, so that nothing can be merged."""
    shown = ", ".join(found.edited[:5]) + (f" and {len(found.edited) - 5} more" if len(found.edited) > 5 else "")
    told = f"files in {place.root} were edited by hand since they were generated ({shown})"
    try:
        generated = read_base(place.root, manifest).generated
    except PortError:
        raise PortError(f"{told}, and {NAME}, which tells how they were, is missing or damaged; {_FORCE_ALL}") from None
    if {name: digest(content) for name, content in generated.items()} != output_hashes(manifest):
        raise PortError(f"{told}, and {NAME} is not of the same package as {MANIFEST}; {_FORCE_ALL}")
    return generated


def back_up(place: Place, found: DiskSurvey) -> Path:
    """Copy the package at `place`, edited or not, to a new folder in its root, and return that folder."""
    number = 1
    while (place.root / f"{BACKUP}{number}").exists():
        number += 1
    backup = place.root / f"{BACKUP}{number}"
    try:
        if place.package_dir.exists():
            shutil.copytree(place.package_dir, backup / place.folder, symlinks=True)
        for name in (name for name in found.state if not place.holds(name)):
            if (place.root / name).is_file():
                (backup / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place.root / name, backup / name)
    except (OSError, shutil.Error) as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(backup)
        raise PortError(f"cannot keep the edited files in {backup}: {error}") from None
    return backup


_FORCE_ALL = "--force keeps them in a backup folder and writes new ones"
_FORCE = f"move it away, or {_FORCE_ALL.replace('them', 'all files')}"


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "a symbolic link"
    return "a folder" if path.is_dir() else "no regular file"
