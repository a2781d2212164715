"""Which packages this Python has; none of them is imported to find out."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec


def absent(packages: Iterable[str]) -> list[str]:
    """Those of these import names that nothing here answers to."""
    return [name for name in packages if not _importable(name)]


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
