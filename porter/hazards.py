"""The account of hazards: each one fixed by an edit, waived with a reason, or residual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .engine import Rewrites


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
    noted_to: int = 0  # last line upstream where a note waives it; 0 where none does


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
    found += scan(rewrites)
    return in_order(found)


def in_order(hazards: Iterable[Hazard]) -> tuple[Hazard, ...]:
    """Hazards in order of file and line."""
    return tuple(sorted(hazards, key=lambda h: (h.file, h.line, h.code, h.status.value, h.target_line, h.reason)))


def count(hazards: Sequence[Hazard]) -> dict[str, int]:
    """How many hazards have each status."""
    return {status.value: sum(h.status is status for h in hazards) for status in Status}
