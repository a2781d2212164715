"""Cases at the level of one text."""

from __future__ import annotations

from random import Random

from porter.generate.merging.text import Side, merge_text

from .cases import Case, make
from .judge import lost, read


def merge(case: Case) -> bytes:
    """What the tool makes of a case."""
    header = (0, case.header)
    return merge_text(Side(case.base.content, header), case.ours.content, Side(case.theirs.content, header)).content


def judge_texts(chance: Random) -> tuple[list[str], int]:
    """What one case lost, in words, and how many conflicts it has."""
    case = make(chance)
    result = merge(case)
    found = lost(case, result)
    return found, 0 if found else read(result).conflicts
