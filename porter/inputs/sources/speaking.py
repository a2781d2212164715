"""Upstream's GPT, which turns text into codes: the network that speaking needs beside those of the folder `module`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layout import Layout, folder_of, join
from .root import has_torch

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot

DECODER = "AR/models/t2s_model.py"  # the network that decodes one token after another


def speaking_files(snapshot: Snapshot, layout: Layout) -> tuple[str, ...]:
    """The decoder's file beside the main folder; none where upstream has none."""
    path = join(layout.prefix, DECODER)
    there = [found for found in snapshot.files(folder_of(path)) if found == path]
    return tuple(found for found, content in snapshot.read_many(there).items() if has_torch(content))
