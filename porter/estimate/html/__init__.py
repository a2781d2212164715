"""What the compiler said as one page of HTML that needs no network and no script."""

from __future__ import annotations

from porter.estimate.html.page import render

__all__ = ["render"]
