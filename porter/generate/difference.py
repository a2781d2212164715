"""What the rules change, as a unified diff of upstream's files against the emitted ones, headers left out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..package.emit import PACKAGE
from ..syntax.text import split_lines

if TYPE_CHECKING:
    from .building import Built


def difference(built: Built) -> Iterator[str]:
    """Lines of the diff, each with its line end."""
    for path, rewritten in sorted(built.rewrites.files.items()):
        target, before = built.sources.texts[path]
        if rewritten.text != before:
            yield from unified(before, rewritten.text, f"a/{path}", f"b/{PACKAGE}/{target}")


def unified(before: str, after: str, old: str, new: str, context: int = 3) -> Iterator[str]:
    """Lines of a unified diff of two texts, each with its line end."""
    for line in difflib.unified_diff(split_lines(before), split_lines(after), old, new, n=context):
        if line.endswith("\n"):
            yield line
        else:
            yield f"{line}\n\\ No newline at end of file\n"
