"""What a person has to look at after a merge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["both changed", "both added", "gone upstream", "still marked", "not Python"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place that the merge cannot decide; `line` counts from 1 in the file as it is on disk afterwards."""

    file: str  # by its place beside port.json
    line: int
    kind: Kind
    message: str  # one sentence without a full stop


def any_marked(conflicts: Iterable[Conflict]) -> bool:
    """Whether a conflict of an earlier merge is still marked."""
    return any(conflict.kind == "still marked" for conflict in conflicts)
