"""The account of hazards: each one fixed by an edit, waived with a reason, or residual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..codemod.engine import Edit, Kept, Rewrites
from .hazard import Hazard, Status, family, in_order
from .scan import scan


def account(rewrites: Rewrites) -> tuple[Hazard, ...]:
    """All hazards of a rewritten project, in order of file and line."""
    fixed = (_fixed(edit) for edit in rewrites.edits if edit.fixes_hazard)
    return in_order([*fixed, *_left(rewrites)])


def _left(rewrites: Rewrites) -> Iterator[Hazard]:
    """What the scan finds, and what notes have kept from being fixed and the scan does not see."""
    told: set[Kept] = set()
    for hazard in scan(rewrites):
        kept = [one for one in rewrites.kept if _tells(one, hazard)]
        told.update(kept)
        yield _with_note(hazard, kept)
    yield from (_waived(one) for one in rewrites.kept if one.fixes_hazard and one not in told)


def _with_note(hazard: Hazard, kept: Sequence[Kept]) -> Hazard:
    """A find of the scan; waived where a note has kept the rewrite off that would have fixed it."""
    if not kept or hazard.status is not Status.RESIDUAL:
        return hazard
    return replace(hazard, status=Status.WAIVED, reason=f"{hazard.reason}: kept as it is by {kept[0].note}")


def _fixed(edit: Edit) -> Hazard:
    """A hazard that a rule has fixed."""
    line, target_line = edit.span.line, edit.target_span.line
    return Hazard(edit.rule, edit.file, line, Status.FIXED, edit.reason, edit.target, target_line)


def _waived(kept: Kept) -> Hazard:
    """A hazard that a rule would have fixed, were it not for a note, and that the scan does not see."""
    reason = f"{kept.reason}: kept as it is by {kept.note}"
    return Hazard(kept.rule, kept.file, kept.span.line, Status.WAIVED, reason, kept.target, kept.target_line)


def _tells(kept: Kept, hazard: Hazard) -> bool:
    """Whether a find of the scan is the very hazard that a rule would have fixed, were it not for a note."""
    here = hazard.file == kept.file and kept.span.line <= hazard.line <= kept.span.end_line
    return here and family(hazard.code) == family(kept.rule)
