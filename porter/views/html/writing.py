"""The page as a file: old or new, never half of one."""

from __future__ import annotations

import secrets
from pathlib import Path

from porter.errors import PortError
from porter.package.store import write_file
from porter.views.visible import visible


def check_place(path: Path) -> Path:
    """Where a page for `path` goes, links followed. PortError where none can be written; nothing is left behind."""
    place = _resolved(path)
    if place.exists() and not place.is_file():
        raise PortError(f"{path} is not a regular file, so no page can be written there")
    trial = _beside(place)
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise PortError(f"{path} cannot be written: {error.strerror or error}") from error
    return place


def write_page(page: str, path: Path) -> None:
    """Put the page at `path`, which keeps its old content until the new one is whole. PortError on failure."""
    write_file(path, visible(page).encode("utf-8", "backslashreplace"))


def _resolved(path: Path) -> Path:
    try:
        place = path.resolve()
    except (OSError, RuntimeError) as error:
        raise PortError(f"{path} cannot be written: its links go in a circle") from error
    if place.is_symlink():  # Python 3.13 resolves such links to themselves
        raise PortError(f"{path} cannot be written: its links go in a circle")
    return place


def _beside(place: Path) -> Path:
    """A new name in the same folder, since only within one file system a rename is one step."""
    return place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}")
