"""What of upstream is not ported, though it computes with torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from .root import folder_of, has_torch

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot


def not_ported(snapshot: Snapshot, root: str, ported: Collection[str]) -> tuple[str, ...]:
    """Files beside and below the folder around `module` (at `root`) that import torch and are not ported, sorted.

    A port that is installed in `module` is none of upstream's files.
    """
    folder = folder_of(root)
    paths = [p for p in snapshot.files(folder) if p.endswith(".py") and not p.startswith(f"{root}/tpu/")]
    left = sorted(set(paths) - set(ported))
    return tuple(path for path, content in snapshot.read_many(left).items() if has_torch(content))


def in_groups(paths: Sequence[str], root: str) -> list[str]:
    """The files by the first folder below the one around `module`, as words: `AR (24 files)`, `s1_train.py`."""
    start = f"{folder_of(root)}/" if folder_of(root) else ""
    below = [path.removeprefix(start) for path in paths]
    counts = Counter(path.partition("/")[0] for path in below if "/" in path)
    folders = [f"{name} ({count} file{'s' if count > 1 else ''})" for name, count in counts.items()]
    return [*folders, *(path for path in below if "/" not in path)]
