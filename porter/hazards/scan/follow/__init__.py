"""Values followed through a project: by calls, by attributes, and by what containers keep."""

from __future__ import annotations

from .flow import Flow
from .followed import Followed

__all__ = ["Flow", "Followed"]
