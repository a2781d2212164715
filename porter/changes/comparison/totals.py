"""How much rules and people changed, by rule and by file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .choosing import HAND
from .records import Change, Comparison
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
    changes = [change for _, change in comparison.changes]
    codes = sorted({rule for change in changes for rule in change.rules})
    totals = {code: total_of((c for c in changes if code in c.rules), code) for code in codes}
    totals = {code: total for code, total in totals.items() if total.hunks}
    if any(change.by_hand for change in changes):
        totals[HAND] = total_of((c for c in changes if c.by_hand), HAND)
    return totals


def by_file(comparison: Comparison) -> dict[str, Total]:
    """By path upstream, those that differ."""
    totals = {file.path: total_of(file.changes) for file in comparison.files}
    return {path: total for path, total in totals.items() if total.hunks}
