"""One package as the comparison reads it: its texts by place, and which line of one is which of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ...syntax.alignment import matcher
from ..hunks import lines_of, scopes_of
from .code import Text

if TYPE_CHECKING:
    from ...package.base import Base
    from ...package.manifest import Manifest


@dataclass(frozen=True)
class Source:
    """A file of upstream, and what was written for it; lines with their ends."""

    path: str
    content: bytes
    written: bytes

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Upstream's lines."""
        return lines_of(self.path, self.content)

    @cached_property
    def text(self) -> Text:
        """Upstream's code."""
        return Text(self.lines)

    @cached_property
    def output(self) -> Text:
        """The package's code, with its header."""
        return Text(lines_of(self.path, self.written))

    def scope(self, line: int) -> str:
        """Qualified name of the class or function around a line (from 1)."""
        return self._scopes(line - 1)

    @cached_property
    def _scopes(self) -> Callable[[int], str]:
        return scopes_of(self.lines)


def sources(manifest: Manifest, base: Base) -> dict[str, Source]:
    """Files that mirror upstream's, by place in the package as edits name it."""
    found = {}
    for name, record in manifest["files"].items():
        path = record["upstream"]
        if path is not None:
            target = name.removeprefix(f"{manifest['package']}/")
            found[target] = Source(path, base.upstream[path], base.generated[name])
    return found


class Lines:
    """Which line of the new upstream an old line became, for lines that are the same."""

    def __init__(self, old: Mapping[str, Source], new: Mapping[str, Source]) -> None:
        """Sources by place in the package."""
        self._old, self._new = old, new
        self._maps: dict[str, dict[int, int] | None] = {}

    def __call__(self, target: str, line: int) -> int:
        """The new line (from 1), or 0."""
        if target not in self._maps:
            self._maps[target] = self._map(target)
        known = self._maps[target]
        return line if known is None else known.get(line, 0)

    def _map(self, target: str) -> dict[int, int] | None:
        """None where all lines stayed."""
        old, new = self._old.get(target), self._new.get(target)
        if old is None or new is None:
            return {}
        if old.content == new.content:
            return None
        blocks = matcher(old.lines, new.lines).get_matching_blocks()
        return {a + i + 1: b + i + 1 for a, b, size in blocks for i in range(size)}
