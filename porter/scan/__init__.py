"""The hazard scan: an independent look at the rewritten sources."""

from __future__ import annotations

from .report import scan

__all__ = ["scan"]
