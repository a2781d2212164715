"""The account of hazards: each one fixed by an edit, waived with a reason, or residual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..codemod.engine import Kept, Rewrites


class Status(Enum):
    """What became of a hazard."""

    FIXED = "fixed"
    WAIVED = "waived"
    RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class Hazard:
    """One place that would cost a graph, a transfer or a fallback on XLA."""

    code: str
    file: str  # path upstream
    line: int  # line upstream, from 1
    status: Status
    reason: str
    target: str  # path inside the emitted package
    target_line: int
    noted: tuple[int, int] | None = None  # lines upstream among which the note is that waives it


def account(rewrites: Rewrites) -> tuple[Hazard, ...]:
    """All hazards of a rewritten project, in order of file and line."""
    from .scan import scan

    found: list[Hazard] = []
    for edit in rewrites.edits:
        if edit.fixes_hazard:
            found.append(
                Hazard(
                    edit.rule,
                    edit.file,
                    edit.span.line,
                    Status.FIXED,
                    edit.reason,
                    edit.target,
                    edit.target_span.line,
                )
            )
    told: set[Kept] = set()
    for hazard in scan(rewrites):
        kept = [one for one in rewrites.kept if _tells(one, hazard)]
        told.update(kept)
        if kept and hazard.status is Status.RESIDUAL:
            reason = f"{hazard.reason}: kept as it is by {kept[0].note}"
            hazard = replace(hazard, status=Status.WAIVED, reason=reason)
        found.append(hazard)
    found += [_waived(one) for one in rewrites.kept if one.fixes_hazard and one not in told]
    return in_order(found)


def _waived(kept: Kept) -> Hazard:
    """A hazard that a rule would have fixed, were it not for a note, and that the scan does not see."""
    reason = f"{kept.reason}: kept as it is by {kept.note}"
    return Hazard(kept.rule, kept.file, kept.span.line, Status.WAIVED, reason, kept.target, kept.target_line)


def _tells(kept: Kept, hazard: Hazard) -> bool:
    """Whether a find of the scan is the very hazard that a rule would have fixed, were it not for a note."""
    here = hazard.file == kept.file and kept.span.line <= hazard.line <= kept.span.end_line
    return here and family(hazard.code) == family(kept.rule)


def family(code: str) -> str:
    """The family of a rule's code; that of a family is itself."""
    return code.rstrip("0123456789")


def in_order(hazards: Iterable[Hazard]) -> tuple[Hazard, ...]:
    """Hazards in order of file and line."""
    return tuple(sorted(hazards, key=lambda h: (h.file, h.line, h.code, h.status.value, h.target_line, h.reason)))


def count(hazards: Sequence[Hazard]) -> dict[str, int]:
    """How many hazards have each status."""
    return {status.value: sum(h.status is status for h in hazards) for status in Status}
