"""Upstream against the package as it is on disk now: what rules changed, and what people did."""

from __future__ import annotations

from .choosing import choose
from .reading import compare
from .records import HAND, Change, Comparison, FileChanges
from .rows import Row, counts, rows_of

__all__ = ["HAND", "Change", "Comparison", "FileChanges", "Row", "choose", "compare", "counts", "rows_of"]
