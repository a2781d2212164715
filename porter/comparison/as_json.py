"""A comparison for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from .records import Change, Comparison, FileChanges
from .totals import Total, by_file, by_rule, total_of


def to_json(comparison: Comparison) -> dict[str, object]:
    """Hunks as objects, totals, and files that no hunk can tell of. Lines keep their ends."""
    return {
        **totals_to_json(comparison),
        "hunks": [_hunk(file, change) for file, change in comparison.changes],
    }


def totals_to_json(comparison: Comparison) -> dict[str, object]:
    """Everything but the hunks."""
    return {
        "upstream": comparison.manifest["upstream"],
        "rules": _totals(by_rule(comparison)),
        "files": _totals(by_file(comparison)),
        "all": asdict(total_of(change for _, change in comparison.changes)),
        "added_by_hand": list(comparison.added),
        "removed_by_hand": [{"path": path, "name": name} for path, name in comparison.removed],
        "edited_without_upstream": list(comparison.edited_alone),
        "left_out": comparison.left_out,
        "conflicts": [asdict(conflict) for conflict in comparison.marked],
    }


def _totals(totals: Mapping[str, Total]) -> dict[str, object]:
    return {name: asdict(total) for name, total in totals.items()}


def _hunk(file: FileChanges, change: Change) -> dict[str, object]:
    return {
        "path": file.path,
        "line": change.line,
        "old": b"".join(change.old).decode(file.encoding, "replace"),
        "target": file.target,
        "target_line": change.target_line,
        "new": b"".join(change.new).decode(file.target_encoding, "replace"),
        "scope": change.scope,
        "rules": list(change.rules),
        "safety": change.safety,
        "reasons": list(dict.fromkeys(reason for _, _, reason in change.reasons)),
        "by_hand": change.by_hand,
        "decision": None if change.decision is None else {k: change.decision[k] for k in ("what", "reason")},
        "key": change.key,
    }
