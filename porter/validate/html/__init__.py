"""What validation found as one page of HTML that needs no network and no script."""

from __future__ import annotations

from porter.html import check_place, write_page
from porter.validate.html.page import render

__all__ = ["check_place", "render", "write_page"]
