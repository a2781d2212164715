"""Upstream's GPT, which turns text into codes: the network that speaking needs beside those of the folder `module`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .root import folder_of, has_torch
from .tree import join

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot

DECODER = "AR/models/t2s_model.py"  # the network that decodes one token after another


def speaking_files(snapshot: Snapshot, root: str) -> tuple[str, ...]:
    """The decoder's file beside the folder `module` (at `root`); none where upstream has none."""
    path = join(folder_of(root), DECODER)
    there = [found for found in snapshot.files(folder_of(path)) if found == path]
    return tuple(found for found, content in snapshot.read_many(there).items() if has_torch(content))
