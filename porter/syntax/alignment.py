"""Which lines of two texts are the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TypeVar

_Line = TypeVar("_Line", str, bytes)
LONG = 4000  # lines of both texts


def matcher(old: Sequence[_Line], new: Sequence[_Line]) -> SequenceMatcher[_Line]:
    """A matcher of lines; in long texts those that stand everywhere match only beside others that do.

    They could be matched with each other in so many ways that looking at all takes the square of the length.
    """
    return SequenceMatcher(None, old, new, autojunk=len(old) + len(new) > LONG)
