"""Hashes of what a campaign's figures depend on: the package, and the judge's own files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import porter.validate


def digest(package: Path) -> str:
    """A hash of a package's files."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        raw = path.read_bytes()
        found.update(f"{path.relative_to(package).as_posix()}\0{len(raw)}\0".encode())
        found.update(raw)
    return found.hexdigest()[:16]


def judge_digest() -> str:
    """A hash of the judge's own files: with other cases, others are reached."""
    assert porter.validate.__file__ is not None
    return digest(Path(porter.validate.__file__).parent)
