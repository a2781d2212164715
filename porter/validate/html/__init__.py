"""What validation found as one page of HTML that needs no network and no script."""

from __future__ import annotations

from porter.validate.html.page import render
from porter.views.html import check_place, write_page

__all__ = ["check_place", "render", "write_page"]
