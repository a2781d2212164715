"""Upstream's trainers: the scripts beside the folder `module` that train its networks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .root import folder_of, has_torch

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot

FOLDER = "trainers"  # where they go inside the emitted package
_READS_MODULE = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(?:\w+\.)?module\b", re.MULTILINE)
_LEARNS = re.compile(rb"\.backward[ \t]*\(")


def trainer_files(snapshot: Snapshot, root: str) -> tuple[str, ...]:
    """Scripts beside the folder `module` (at `root`) that import from it and compute gradients."""
    folder = folder_of(root)
    beside = [path for path in snapshot.files(folder) if path.endswith(".py") and folder_of(path) == folder]
    return tuple(path for path, content in snapshot.read_many(beside).items() if _trains(content))


def _trains(content: bytes) -> bool:
    return has_torch(content) and _READS_MODULE.search(content) is not None and _LEARNS.search(content) is not None
