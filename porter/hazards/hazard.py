"""What a hazard is: a place that costs time on XLA, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


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


def family(code: str) -> str:
    """The family of a rule's code; that of a family is itself."""
    return code.rstrip("0123456789")


def in_order(hazards: Iterable[Hazard]) -> tuple[Hazard, ...]:
    """Hazards in order of file and line."""
    return tuple(sorted(hazards, key=lambda h: (h.file, h.line, h.code, h.status.value, h.target_line, h.reason)))


def count(hazards: Sequence[Hazard]) -> dict[str, int]:
    """How many hazards have each status."""
    return {status.value: sum(h.status is status for h in hazards) for status in Status}
