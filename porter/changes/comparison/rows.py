"""A change line by line: kept, taken away, put in."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from .records import Change, FileChanges

Mark = Literal[" ", "-", "+"]
Row = tuple[Mark, bytes]
CONTEXT = 3  # unchanged lines around a change, as diff has it


def rows_of(change: Change) -> list[Row]:
    """Its lines, those that are the same on both sides once."""
    matcher = difflib.SequenceMatcher(None, change.old, change.new, autojunk=False)
    rows: list[Row] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            rows += [(" ", line) for line in change.old[a:b]]
        else:
            rows += [("-", line) for line in change.old[a:b]]
            rows += [("+", line) for line in change.new[c:d]]
    return rows


def counts(change: Change) -> tuple[int, int]:
    """Lines added and removed."""
    marks = Counter(mark for mark, _ in rows_of(change))
    return marks["+"], marks["-"]


def groups_of(file: FileChanges, changes: Sequence[Change]) -> list[list[Change]]:
    """Changes whose surrounding lines would overlap, together."""
    groups: list[list[Change]] = []
    end = 0
    for change in changes:
        if groups and change.line - 1 - end <= 2 * CONTEXT:
            groups[-1].append(change)
        else:
            groups.append([change])
        end = change.line - 1 + len(change.old)
    return groups
