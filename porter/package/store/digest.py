"""Digests of files and folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 in hex of a file, or of the names and contents in a folder; "" where there is nothing."""
    if path.is_symlink() or not path.exists():
        return ""
    if path.is_file():
        return sha256(path.read_bytes())
    lines = [f"{name}\0{digest(path / name)}\n" for name in sorted(names_below(path))]
    return sha256("".join(lines).encode("utf-8", "surrogateescape"))


def names_below(folder: Path) -> Iterator[str]:
    """Names of all files below `folder`, relative and posix; what Python compiled does not count."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        below = path.relative_to(folder)
        if "__pycache__" not in below.parts and (path.is_symlink() or not path.is_dir()):
            yield below.as_posix()
