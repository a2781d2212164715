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


# Where the name to install is another than the one to import, but for lines and underscores.
_DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "ffmpeg": "ffmpeg-python",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


def install(packages: Iterable[str]) -> str:
    """What to type to have packages that have these import names."""
    return " ".join(("pip install", *(_DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in packages)))
