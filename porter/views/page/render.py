"""The page: what the template shows, worked out of a comparison."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from ...comparison import HAND, Comparison, FileChanges
from ...comparison.patch import notes_of
from ...comparison.totals import Total, by_file, by_rule, total_of
from ...html import environment
from ...upstream.revision import short
from ..hunks import left_out_words
from .layout import Block, Line, Piece, pieces_of

if TYPE_CHECKING:
    from ...manifest import HazardRecord

_TEMPLATES = Path(__file__).parent / "templates"
_STATUSES = {
    "residual": "Residual: each costs a graph, a transfer or a fallback",
    "waived": "Waived, with the reason",
    "fixed": "Fixed by a rule",
}


@dataclass(frozen=True, slots=True)
class FilePage:
    """One file."""

    id: str
    file: FileChanges
    total: Total
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class HazardRow:
    """One hazard, and where its line is on the page."""

    record: HazardRecord
    link: str


def render(comparison: Comparison) -> str:
    """The whole page. It holds everything that it shows."""
    templates = environment(_TEMPLATES)
    templates.filters |= {"code": _code, "words": _words}
    script = (_TEMPLATES / "filter.js").read_text("utf-8")
    manifest = comparison.manifest
    ids = {file.path: f"f{number}" for number, file in enumerate(comparison.files, 1)}
    hazards = [h for h in manifest["hazards"]["list"] if h["file"] in ids]
    anchors: dict[str, dict[int, str]] = {path: {} for path in ids}
    for hazard in hazards:
        anchors[hazard["file"]][hazard["line"]] = f"{ids[hazard['file']]}l{hazard['line']}"
    counts = Counter(hazard["status"] for hazard in hazards)
    return templates.get_template("page.html.j2").render(
        script=Markup(script),
        script_hash=_hash(script),
        upstream=_upstream(comparison),
        manifest=manifest,
        total=total_of(change for _, change in comparison.changes),
        by_hand=sum(change.by_hand for _, change in comparison.changes),
        rules=by_rule(comparison),
        totals=by_file(comparison),
        files=[
            FilePage(ids[file.path], file, total_of(file.changes), pieces_of(file, anchors[file.path]))
            for file in comparison.files
        ],
        hazards={
            heading: [HazardRow(h, anchors[h["file"]][h["line"]]) for h in hazards if h["status"] == status]
            for status, heading in _STATUSES.items()
        },
        counts=[(status, counts[status]) for status in ("fixed", "waived", "residual")],
        notes=notes_of(comparison),
        left_out=left_out_words(comparison) if comparison.left_out else "",
        hand=HAND,
    )


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
