"""Hand edits in a package that is about to be replaced: noticed, and never lost."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import NAME
from ..errors import PortError
from ..manifest import output_hashes, read
from ..store import MANIFEST, Place, edited_files

if TYPE_CHECKING:
    from ..manifest import Manifest

BACKUP = ".backup-"


def old_manifest(place: Place, *, force: bool) -> Manifest | None:
    """The manifest of the package at `place`, or None; a damaged one too, where `force` says to go on."""
    try:
        return read(place.root)
    except PortError:
        if force:
            return None
        raise


def edited(place: Place, manifest: Manifest | None) -> list[str]:
    """Files at `place` that somebody changed or added, sorted; all of them where nothing is known."""
    return edited_files(place, output_hashes(manifest) if manifest else {}, missing=False)


def back_up(place: Place, manifest: Manifest | None) -> Path:
    """Copy the package at `place` to a new folder in its root, and return that folder."""
    number = 1
    while (place.root / f"{BACKUP}{number}").exists():
        number += 1
    backup = place.root / f"{BACKUP}{number}"
    beside = [name for name in (manifest or {"files": {}})["files"] if not place.holds(name)]
    try:
        shutil.copytree(place.package_dir, backup / place.folder, symlinks=True)
        for name in (*beside, MANIFEST, NAME):
            if (place.root / name).is_file():
                (backup / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place.root / name, backup / name)
    except (OSError, shutil.Error) as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(backup)
        raise PortError(f"cannot keep the edited files in {backup}: {error}") from None
    return backup
