"""What changed between versions of the tool, from CHANGELOG.md, which comes with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from ... import __version__

_SECTION = re.compile(r"^## (\S+)(?: \((\d{4}-\d\d-\d\d)\))?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^- (.*?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def place() -> Path:
    """Where it lies: in the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parents[2] / "CHANGELOG.md"
    return inside if inside.is_file() else Path(__file__).parents[3] / "CHANGELOG.md"


def sections(text: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name (a version, or Unreleased), date or "", and entries of each section, the newest first."""
    for name, date, body in _SECTION.findall(text):
        yield name, date, tuple(_LINK.sub(r"\1", " ".join(entry.split())) for entry in _ENTRY.findall(body))


def changes_since(version: str) -> tuple[str, ...]:
    """Entries of the versions after this one, up to that of the tool; none where either is no version, or unknown."""
    try:
        before, now = Version(version), Version(__version__)
        text = place().read_text("utf-8")
    except (InvalidVersion, OSError):
        return ()
    return tuple(
        entry for name, date, entries in sections(text) if date and before < Version(name) <= now for entry in entries
    )
