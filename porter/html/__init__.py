"""What all pages share: their look, and how they are written. They need no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .writing import check_place, write_page

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["check_place", "environment", "write_page"]


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
