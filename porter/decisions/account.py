"""The account of hazards after people's decisions: what a refused rewrite had fixed is there again, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..hazards import Hazard, Status, account, in_order
from ..scan import scan
from .model import Decision
from .splicing import Splice

if TYPE_CHECKING:
    from ..engine import Edit
    from .applying import Change, Decided


def account_for(decided: Decided) -> tuple[Hazard, ...]:
    """All hazards of a decided project, in order of file and line."""
    found = list(account(decided.rewrites))
    if not decided.changes:
        return tuple(found)
    before = scan(decided.undecided) if any(map(_refuses_import, decided.changes.values())) else []
    for path, change in decided.changes.items():
        mine = [h for h in found if h.file == path]
        known = [h for h in before if h.file == path]
        found = [h for h in found if h.file != path] + list(_settled(path, change, mine, known))
    return in_order(found)


def _settled(path: str, change: Change, found: Sequence[Hazard], before: Sequence[Hazard]) -> Iterator[Hazard]:
    """The hazards of one file: `found` in it as it is, `before` as the rules alone have it."""
    spliced = change.spliced
    left = {id(h): h for h in found}
    spread = [h for h in _spread(change, found, before) if h.status is Status.RESIDUAL]
    for splice in spliced.splices:
        start, end = spliced.place(splice)
        inside = [h for h in left.values() if start < h.target_line <= end]
        edits = [edit for edit in change.edits[splice.hunk.key] if edit.fixes_hazard]
        if splice.decision.what == "edit":
            # What a person wrote may hold the hazard that the rule had taken away.
            again = {_family(h.code) for h in inside if h.status is Status.RESIDUAL}
            for hazard in inside:
                if hazard.status is Status.FIXED and _family(hazard.code) in again:
                    del left[id(hazard)]
            continue
        for edit in edits:
            line = start + edit.span.line - (splice.hunk.line - 1)
            last = start + edit.span.end_line - (splice.hunk.line - 1)
            seen = [h for h in inside if line <= h.target_line <= last and _family(h.code) == _family(edit.rule)]
            far = [h for h in spread if _family(h.code) == _family(edit.rule)] if _imports(splice, edit) else []
            for hazard in seen:
                left.pop(id(hazard), None)
            for hazard in far:
                if id(hazard) in left:
                    left[id(hazard)] = _decided(hazard, splice.decision)
            if not far:
                yield _decided(
                    Hazard(edit.rule, path, edit.span.line, Status.RESIDUAL, edit.reason, edit.target, line),
                    splice.decision,
                )
        for hazard in inside:
            if id(hazard) in left and hazard.status is Status.RESIDUAL:
                left[id(hazard)] = _decided(hazard, splice.decision)
    yield from left.values()


def _spread(change: Change, found: Sequence[Hazard], before: Sequence[Hazard]) -> list[Hazard]:
    """Finds outside of all that was decided, and not there before: what an import that came back means elsewhere."""
    spliced = change.spliced
    places = [spliced.place(splice) for splice in spliced.splices]
    known = {(h.code, spliced.moved(h.target_line - 1) + 1, h.status) for h in before}
    return [
        h
        for h in found
        if h.status is not Status.FIXED
        and not any(start < h.target_line <= end for start, end in places)
        and (h.code, h.target_line, h.status) not in known
    ]


def _decided(hazard: Hazard, decision: Decision) -> Hazard:
    """A hazard that came back by a decision: waived if the person said why it is none."""
    if decision.reason:
        return replace(hazard, status=Status.WAIVED, reason=f"{hazard.reason}: a person decided: {decision.reason}")
    return replace(hazard, reason=f"{hazard.reason}: a person rejected the rewrite")


def _imports(splice: Splice, edit: Edit) -> bool:
    """Whether an edit is of an import, so that its hazard is where the imported names are used."""
    line = splice.hunk.old[edit.span.line - splice.hunk.line]
    return line.lstrip().startswith(("from ", "import "))


def _refuses_import(change: Change) -> bool:
    return any(
        edit.fixes_hazard and _imports(splice, edit)
        for splice in change.spliced.splices
        if splice.decision.what == "reject"
        for edit in change.edits[splice.hunk.key]
    )


def _family(code: str) -> str:
    return code.rstrip("0123456789")
