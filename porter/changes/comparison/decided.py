"""What people decided, at the changes that it was about.

Lines that a person wrote in place of a rule's are by hand, like lines that somebody edited in the file. Where a
person rejected a rewrite upstream's lines stand, so nothing differs there; that is told as a change without a
difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...package.manifest import DecisionRecord
from ..hunks import Hunk
from .records import Change


def with_decisions(
    changes: Sequence[Change],
    numbers: Sequence[int],
    upstream: Sequence[bytes],
    hunks: Sequence[Hunk],
    decisions: Mapping[str, DecisionRecord],
) -> tuple[tuple[Change, ...], tuple[int, ...]]:
    """The changes of a file, in order, and for each line of upstream its number on disk (0 inside a change).

    `hunks` are those of the rules alone, `decisions` the ones that are not stale, by key.
    """
    result, left = list(changes), list(numbers)
    for hunk in hunks:
        told = decisions.get(hunk.key)
        if told is None:
            continue
        at = next((i for i, change in enumerate(result) if _meet(change, hunk)), None)
        if at is not None:
            by_hand = result[at].by_hand or told["what"] == "edit"
            result[at] = replace(result[at], decision=told, by_hand=by_hand)
        elif told["what"] == "reject":
            start, end = hunk.line - 1, hunk.line - 1 + len(hunk.old)
            lines = tuple(upstream[start:end])
            where = left[start] if start < len(left) else len(upstream) + 1
            result.append(Change(hunk.line, lines, where, lines, hunk.edits, False, hunk.scope, hunk.key, told))
            left[start:end] = [0] * (end - start)
    return tuple(sorted(result, key=lambda change: change.line)), tuple(left)


def _meet(change: Change, hunk: Hunk) -> bool:
    """Whether both are about the same lines of upstream, or stand between the same two."""
    a, b = (change.line, change.line + len(change.old)), (hunk.line, hunk.line + len(hunk.old))
    return a == b or (a[0] < b[1] and b[0] < a[1])
