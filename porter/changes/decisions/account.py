"""The account of hazards after people's decisions: what a refused rewrite had fixed is there again, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...hazards.account import account
from ...hazards.hazard import Hazard, Status, family, in_order
from ...hazards.scan import scan
from .model import REJECTED, Decision

if TYPE_CHECKING:
    from ...codemod.engine import Edit
    from .applying import Decided


@dataclass(frozen=True, slots=True)
class _Refused:
    """An edit that a person refused, and that had fixed a hazard."""

    edit: Edit
    decision: Decision
    line: int  # where its code is now, from 1
    end_line: int

    def tells(self, hazard: Hazard) -> bool:
        """Whether a find at the very place is this edit's own hazard."""
        here = hazard.file == self.edit.file and self.line <= hazard.target_line <= self.end_line
        return here and family(hazard.code) == family(self.edit.rule)


def account_for(decided: Decided) -> tuple[Hazard, ...]:
    """All hazards of a decided project, in order of file and line.

    Each refused edit that had fixed a hazard is one hazard again, residual or waived with the person's reason. What
    the scan sees of the same family because of it, there or elsewhere, is told in that one's reason.
    """
    found = list(account(decided.rewrites))
    refused = list(_refused(decided))
    told = {id(h): h for h in found if not any(r.tells(h) for r in refused)}
    spread = _spread(decided, list(told.values())) if refused else []
    result: list[Hazard] = []
    for one in refused:
        caused = _caused(one, refused, spread)
        for hazard in caused:
            told.pop(id(hazard), None)
        result.append(_again(one, caused))
    return in_order([*result, *_as_decided(decided, list(told.values()))])


def _caused(one: _Refused, refused: Sequence[_Refused], spread: Sequence[Hazard]) -> list[Hazard]:
    """What the scan sees because of one refused edit."""
    related = [h for h in spread if family(h.code) == family(one.edit.rule)]
    # An import, or a helper in another file, may be where the hazard itself is.
    near = [h for h in related if h.file == one.edit.file]
    others = {r.edit.file for r in refused if family(r.edit.rule) == family(one.edit.rule)}
    return near or [h for h in related if h.file not in others]


def _refused(decided: Decided) -> Iterator[_Refused]:
    for change in decided.changes.values():
        for splice in change.spliced.splices:
            if splice.decision.what == "reject":
                start, _ = change.spliced.place(splice)
                down = start + 1 - splice.hunk.line
                for edit in change.edits[splice.hunk.key]:
                    if edit.fixes_hazard:
                        yield _Refused(edit, splice.decision, edit.span.line + down, edit.span.end_line + down)


def _spread(decided: Decided, found: Sequence[Hazard]) -> list[Hazard]:
    """Residual finds outside of all that was decided, and not there before."""
    places = {
        path: [change.spliced.place(splice) for splice in change.spliced.splices]
        for path, change in decided.changes.items()
    }

    def now(hazard: Hazard) -> int:
        change = decided.changes.get(hazard.file)
        return hazard.target_line if change is None else change.spliced.moved(hazard.target_line - 1) + 1

    known = {(h.file, h.code, now(h)) for h in scan(decided.undecided) if h.status is Status.RESIDUAL}
    return [
        h
        for h in found
        if h.status is Status.RESIDUAL
        and not any(start < h.target_line <= end for start, end in places.get(h.file, ()))
        and (h.file, h.code, h.target_line) not in known
    ]


def _again(one: _Refused, caused: Sequence[Hazard]) -> Hazard:
    """The hazard of a refused edit."""
    edit = one.edit
    seen = ", ".join(sorted({f"{h.file}:{h.line}" for h in caused}))
    reason = f"{edit.reason}{f' (seen at {seen})' if seen else ''}"
    hazard = Hazard(edit.rule, edit.file, edit.span.line, Status.RESIDUAL, reason, edit.target, one.line)
    return _decided(hazard, one.decision)


def _as_decided(decided: Decided, found: list[Hazard]) -> list[Hazard]:
    """Hazards, those in the lines of a decision by what was decided."""
    for path, change in decided.changes.items():
        for splice in change.spliced.splices:
            start, end = change.spliced.place(splice)
            inside = [h for h in found if h.file == path and start < h.target_line <= end]
            found = [*(h for h in found if h not in inside), *_by_decision(splice.decision, inside)]
    return found


def _by_decision(decision: Decision, inside: Sequence[Hazard]) -> list[Hazard]:
    """What becomes of the hazards in the lines of one decision."""
    if decision.what == "reject":
        return [_decided(h, decision) if h.status is Status.RESIDUAL else h for h in inside]
    # What a person wrote may hold the hazard that the rule had taken away: then nothing is fixed.
    again = {family(h.code) for h in inside if h.status is Status.RESIDUAL}
    return [h for h in inside if h.status is not Status.FIXED or family(h.code) not in again]


def _decided(hazard: Hazard, decision: Decision) -> Hazard:
    """A hazard that came back by a decision: waived if the person said why it is none."""
    if decision.reason:
        return replace(hazard, status=Status.WAIVED, reason=f"{hazard.reason}: a person decided: {decision.reason}")
    return replace(hazard, reason=f"{hazard.reason}: {REJECTED}")
