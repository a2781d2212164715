"""Three-way merge of a package: as it was generated, as somebody edited it, as it would be generated now.

Nothing here reads or writes files.
"""

from __future__ import annotations

from .found import Conflict, Kind, any_marked
from .markers import marked_lines
from .package import Merged, merge_package, troubles
from .text import Side

__all__ = ["Conflict", "Kind", "Merged", "Side", "any_marked", "marked_lines", "merge_package", "troubles"]
