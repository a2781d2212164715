"""The hazard scan: an independent look at the rewritten sources."""

from __future__ import annotations

from .report import scan, scan_upstream

__all__ = ["scan", "scan_upstream"]
