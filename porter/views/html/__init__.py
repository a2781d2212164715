"""What all pages share: their look, and how they are written. They need no network."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .writing import check_place, write_page

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["check_place", "environment", "today", "write_page"]


def today() -> str:
    """The day on which a page is written, in UTC; $SOURCE_DATE_EPOCH says another, for pages that can be made again."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(told), UTC) if told.isdecimal() else datetime.now(UTC)
    return moment.date().isoformat()


def environment(*folders: Path) -> Environment:
    """Templates from these folders, and what all pages share."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
