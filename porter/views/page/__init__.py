"""A comparison as one page: side by side, with filters and the account of hazards."""

from __future__ import annotations

from .render import render

__all__ = ["render"]
