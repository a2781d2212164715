"""A hash of the part of this tool that decides what is written."""

from __future__ import annotations

import hashlib
from pathlib import Path

_TOOL = Path(__file__).parent.parent
# Reading, judging and showing a package change nothing in it; the rules have a hash of their own.
_NOT_THE_ENGINE = frozenset(
    (
        "cli.py",
        "answers",
        "changelog.py",
        "commands",
        "comparison",
        "generate",
        "html",
        "plain.py",
        "regular.py",
        "rules",
        "status",
        "store",
        "upstream",
        "validate",
        "views",
        "visible.py",
        "__main__.py",
    )
)


def engine_hash() -> str:
    """SHA-256 over the engine's and the runtime's files: a changed tool is not the old one."""
    digest = hashlib.sha256()
    for path in sorted(_TOOL.rglob("*.py")):
        below = path.relative_to(_TOOL)
        if below.parts[0] not in _NOT_THE_ENGINE:
            digest.update(below.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
