"""A comparison for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Change, Comparison, FileChanges
from .totals import by_file, by_rule, total_of

if TYPE_CHECKING:
    from ...answers import DiffAnswer, HunksAnswer
    from ...answers.package import ChangeRecord


def to_json(comparison: Comparison) -> HunksAnswer:
    """Hunks as objects, totals, and files that no hunk can tell of. Lines keep their ends."""
    return {
        **totals_to_json(comparison),
        "hunks": [_hunk(file, change) for file, change in comparison.changes],
    }


def totals_to_json(comparison: Comparison) -> DiffAnswer:
    """Everything but the hunks."""
    return {
        "upstream": comparison.manifest["upstream"],
        "rules": by_rule(comparison),
        "files": by_file(comparison),
        "all": total_of(change for _, change in comparison.changes),
        "added_by_hand": list(comparison.added),
        "removed_by_hand": [{"file": path, "name": name} for path, name in comparison.removed],
        "edited_without_upstream": list(comparison.edited_alone),
        "left_out": comparison.left_out,
        "conflicts": list(comparison.marked),
    }


def _hunk(file: FileChanges, change: Change) -> ChangeRecord:
    told = change.decision
    return {
        "file": file.path,
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
        "decision": None if told is None else {"what": told["what"], "reason": told["reason"]},
        "key": change.key,
    }
