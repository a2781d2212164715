"""Which packages this Python has; none of them is imported to find out."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec


def absent(packages: Iterable[str]) -> list[str]:
    """Those of these import names that nothing here answers to."""
    return [name for name in packages if not _importable(name)]


def pip_install(packages: Iterable[str]) -> str:
    """What to type to have them."""
    return f"pip install {' '.join(name.replace('_', '-') for name in packages)}"


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
