"""How a revision is called: a commit's hash, with `-dirty` where files were changed since, or a wheel's version."""

from __future__ import annotations

import re

DIRTY = "-dirty"
_COMMIT = re.compile(r"([0-9a-f]{12})[0-9a-f]{28,52}(-dirty)?")


def short(revision: str) -> str:
    """A revision as people read it: of a hash its first 12 digits."""
    found = _COMMIT.fullmatch(revision)
    return f"{found[1]}{found[2] or ''}" if found else revision
