"""`# port: ignore[CODE]` comments: lines that the maintainer of an upstream keeps a rule off."""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .project import SourceFile
    from .rule import Replacement

_NOTE = re.compile(r"#\s*port:\s*ignore\[([A-Za-z0-9_,\s]+)\]")


class Suppressions:
    """The notes of one file, and which of them kept a rule off."""

    def __init__(self, text: str) -> None:
        """Read the notes of a file's text; only real comments count."""
        self._notes: dict[int, set[str]] = {}
        self._used: set[tuple[int, str]] = set()
        if "port:" not in text:
            return
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and (found := _NOTE.search(token.string)):
                codes = {c.strip().upper() for c in found.group(1).split(",") if c.strip()}
                self._notes.setdefault(token.start[0], set()).update(codes)

    def keeps(self, file: SourceFile, replacement: Replacement) -> bool:
        """Whether a note on one of the edited lines keeps the replacement's rule off."""
        if not self._notes:
            return False
        span = file.span(replacement.node)
        return self.covers(span.line, span.end_line, replacement.rule.code)

    def covers(self, first: int, last: int, code: str) -> bool:
        """Whether a note on lines `first` to `last` names `code` or its family; marks it used."""
        for line, codes in self._notes.items():
            if first <= line <= last:
                for noted in codes:
                    if code.startswith(noted):
                        self._used.add((line, noted))
                        return True
        return False

    def used(self) -> list[tuple[int, str]]:
        """Line and code of each note that kept a rule off."""
        return sorted(self._used)

    def unused(self) -> list[tuple[int, str]]:
        """Line and code of each note that kept nothing off."""
        return sorted((line, c) for line, codes in self._notes.items() for c in codes if (line, c) not in self._used)
