"""The page: what the template shows, worked out of a comparison."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from ... import __version__
from ...changes.comparison import HAND, Comparison, FileChanges
from ...changes.comparison.patch import notes_of
from ...changes.comparison.totals import Total, by_file, by_rule, total_of
from ...inputs.upstream.revision import short
from ..html import environment, today
from ..hunks import left_out_words
from .layout import Block, Line, Piece, holds_line, kinds_of, pieces_of

if TYPE_CHECKING:
    from ...generate.merging import Conflict
    from ...package.manifest import DecisionRecord, HazardRecord

_TEMPLATES = Path(__file__).parent / "templates"
_STATUSES = {
    "residual": "Residual: each costs a graph, a transfer or a fallback",
    "waived": "Waived, with the reason",
    "fixed": "Fixed by a rule",
}

_COUNTED = ("fixed", "waived", "residual")
_SAFETIES = ("exact", "close", "changed")
_KINDS = {
    "rule": "rules",
    "hand": "edited by hand",
    "decided": "decided by a person",
    "conflict": "conflict to solve",
}


@dataclass(frozen=True, slots=True)
class FilePage:
    """One file."""

    id: str
    file: FileChanges
    total: Total
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Row:
    """A hazard, a conflict or a decision, and where its line is on the page; "" where it is not."""

    record: HazardRecord | Conflict | DecisionRecord
    link: str


def render(comparison: Comparison) -> str:
    """The whole page. It holds everything that it shows."""
    templates = environment(_TEMPLATES)
    templates.filters |= {"code": _code, "words": _words}
    script = (_TEMPLATES / "filter.js").read_text("utf-8")
    manifest = comparison.manifest
    marked: dict[str, set[int]] = defaultdict(set)
    for conflict in comparison.marked:
        marked[conflict.file].add(conflict.line)
    ids = {file.path: f"f{number}" for number, file in enumerate(comparison.files, 1)}
    anchors, hazards = _hazards(comparison, ids)
    return templates.get_template("page.html.j2").render(
        script=Markup(script),
        script_hash=_hash(script),
        upstream=_upstream(comparison),
        manifest=manifest,
        version=__version__,
        date=today(),
        conflicts=[Row(found, _hunk_at(comparison, found)) for found in comparison.marked],
        decisions=[Row(told, _hunk_with(comparison, told["key"])) for told in manifest["decisions"]["list"]],
        **_filters(comparison, marked),
        total=total_of(change for _, change in comparison.changes),
        rules=by_rule(comparison),
        totals=by_file(comparison),
        files=[
            FilePage(
                ids[file.path], file, total_of(file.changes), pieces_of(file, anchors[file.path], marked[file.name])
            )
            for file in comparison.files
        ],
        hazards={heading: hazards[status] for status, heading in _STATUSES.items()},
        counts=[(status, len(hazards[status])) for status in _COUNTED],
        notes=notes_of(comparison),
        left_out=left_out_words(comparison) if comparison.left_out else "",
        hand=HAND,
    )


def _filters(comparison: Comparison, marked: Mapping[str, set[int]]) -> dict[str, object]:
    """What people can filter changes by, with how many there are of each."""
    changes = comparison.changes
    return {
        "safeties": _counted(change.safety or "" for _, change in changes),
        "kinds": _counted(kind for file, change in changes for kind in kinds_of(change, marked[file.name])),
        "kind_words": _KINDS,
        "by_hand": sum(change.by_hand for _, change in changes),
    }


def _hazards(comparison: Comparison, ids: Mapping[str, str]) -> tuple[dict[str, dict[int, str]], dict[str, list[Row]]]:
    """Anchors in the page by file and line, and the hazards by status, of the files that the page shows."""
    anchors: dict[str, dict[int, str]] = {path: {} for path in ids}
    rows: dict[str, list[Row]] = {status: [] for status in _COUNTED}
    for hazard in comparison.manifest["hazards"]["list"]:
        path, line = hazard["file"], hazard["line"]
        if path in ids:
            anchors[path][line] = f"{ids[path]}l{line}"
            rows[hazard["status"]].append(Row(hazard, anchors[path][line]))
    return anchors, rows


def _hunk_at(comparison: Comparison, conflict: Conflict) -> str:
    """The id of the hunk that a conflict is in."""
    hunks = (c for file, c in comparison.changes if file.name == conflict.file and holds_line(c, [conflict.line]))
    return next((f"h-{change.key}" for change in hunks), "")


def _hunk_with(comparison: Comparison, key: str) -> str:
    """The id of the hunk that was decided about."""
    decided = (change for _, change in comparison.changes if change.decision and change.decision["key"] == key)
    return next((f"h-{change.key}" for change in decided), "")


def _counted(names: Iterable[str]) -> dict[str, int]:
    """How often each name comes, without the empty one, in the order in which a page lists them."""
    counts = Counter(names)
    return {name: counts[name] for name in (*_SAFETIES, *_KINDS) if counts[name]}


def _upstream(comparison: Comparison) -> str:
    told = comparison.manifest["upstream"]
    return f"{told['spec']}, revision {short(told['revision'])}" if told["revision"] else told["spec"]


def _hash(script: str) -> str:
    """What the page's policy allows to run, and nothing else."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _code(lines: Sequence[Line]) -> Markup:
    """Lines as HTML; a template would take seconds for thousands of them."""
    return Markup("".join(map(_line, lines)))


def _line(line: Line) -> str:
    anchor = f' id="{line.anchor}"' if line.anchor else ""
    number = f' data-n="{line.number}"' if line.number else ""
    return f"<div{anchor}{number}>{line.html}</div>"


def _words(block: Block) -> str:
    """The class of a block: what became of its lines."""
    return "same" if block.same else "changed" if block.old and block.new else "gone" if block.old else "come"
