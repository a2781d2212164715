"""Sources that are written for another framework than PyTorch are refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...errors import PortError
from .facts import Facts
from .frameworks import OTHERS

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot

_IMPORT = re.compile(rf"^[ \t]*(?:import|from)[ \t]+({'|'.join(OTHERS)})\b".encode(), re.MULTILINE)


def refuse_foreign(spec: str, files: Iterable[Facts]) -> None:
    """PortError where most of these files' networks are another framework's."""
    defining = [facts for facts in files if facts.defines_network or facts.framework]
    theirs = Counter(facts.framework for facts in defining if facts.framework)
    if theirs and 2 * theirs.total() >= len(defining):
        raise _refusal(spec, theirs.most_common(1)[0][0])


def refuse_others(snapshot: Snapshot) -> None:
    """PortError where the tree imports another framework; it holds no PyTorch network then."""
    paths = [path for path in snapshot.files() if path.endswith(".py")]
    found = Counter(
        match[1].decode() for content in snapshot.read_many(paths).values() if (match := _IMPORT.search(content))
    )
    if found:
        raise _refusal(snapshot.spec, found.most_common(1)[0][0])


def _refusal(spec: str, package: str) -> PortError:
    return PortError(f"{spec} is written for {OTHERS[package]}, and only PyTorch sources can be ported")
