"""How much rules and people changed, by rule and by file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .records import HAND, Change, Comparison
from .rows import counts


@dataclass(frozen=True, slots=True)
class Total:
    """Hunks, edits in them, and lines added and removed by them."""

    hunks: int
    edits: int
    added: int
    removed: int


def total_of(changes: Iterable[Change], rule: str | None = None) -> Total:
    """Of all these changes; with `rule` only its edits count."""
    hunks = edits = added = removed = 0
    for change in changes:
        if change.decision is not None and change.decision["what"] == "reject":
            continue  # upstream's lines stand there
        more, less = counts(change)
        hunks, added, removed = hunks + 1, added + more, removed + less
        edits += sum(rule in (None, edit["rule"]) for edit in change.edits) if change.stands else 0
    return Total(hunks, edits, added, removed)


def by_rule(comparison: Comparison) -> dict[str, Total]:
    """By code, those edited by hand last; a change by two rules counts for each."""
    changes: dict[str, list[Change]] = defaultdict(list)
    for _, change in comparison.changes:
        for code in change.makers:
            changes[code].append(change)
    totals = {code: total_of(changes[code], code) for code in sorted(changes, key=lambda code: (code == HAND, code))}
    return {code: total for code, total in totals.items() if total.hunks or code == HAND}


def by_file(comparison: Comparison) -> dict[str, Total]:
    """By path upstream, those that differ."""
    totals = {file.path: total_of(file.changes) for file in comparison.files}
    return {path: total for path, total in totals.items() if total.hunks}
