"""`# port: ignore[CODE]` comments: lines that the maintainer of an upstream keeps rules off."""

from __future__ import annotations

import io
import re
import tokenize
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from ..analysis.project import SourceFile
from ..syntax.walk import descendants
from .requests import Request

_NOTE = re.compile(
    r"#\s*port:\s*ignore(?!\w|-\w)(?:\s*\[(?P<listed>[^\]#]*)\]|\s*:?\s*(?P<bare>(?:[A-Z]{3}\d{3}\b[,\s]*)+))?", re.I
)
_RULE = re.compile(r"[A-Z]+\d{3}")
_SPACE = frozenset({tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER})


@dataclass(frozen=True, slots=True)
class Note:
    """One note, and the lines of the statement that it stands in, or right above, from 1."""

    line: int
    first: int
    last: int
    codes: tuple[str, ...]  # rules and families, upper case; "" is everything
    reason: str  # what is written behind it

    @property
    def told(self) -> str:
        """The note, with its reason, as part of a sentence."""
        codes = f"[{', '.join(self.codes)}]" if self.codes != ("",) else ""
        return f"'# port: ignore{codes}'{f' ({self.reason})' if self.reason else ''}"

    def naming(self, code: str, first: int, last: int) -> list[str]:
        """What in the note names a rule, or its family, if its statement shares a line with `first` to `last`."""
        meets = self.first <= last and first <= self.last
        return [noted for noted in self.codes if meets and code.startswith(noted)]


class Suppressions:
    """The notes of one file, and which of them kept a rule off."""

    def __init__(self, text: str) -> None:
        """Read the notes of a file's text; only real comments count."""
        self.notes: tuple[Note, ...] = tuple(_notes(text)) if "port:" in text.lower() else ()
        self._used: set[tuple[int, str]] = set()

    def keeps(self, file: SourceFile, request: Request) -> Note | None:
        """The note that keeps off what a rule asks for: on a line of the statement there, or of what is replaced.

        A note that names a family, or nothing, is about its own statement alone: not about a rewrite around it that
        leaves that statement as it is.
        """
        if not self.notes:
            return None
        span = file.span(request.node)
        for note in self.notes:
            named = note.naming(request.rule.code, span.line, span.end_line)
            exact = any(_RULE.fullmatch(noted) for noted in named)
            if named and (exact or not _leaves(file, request, note)):
                self._used.update((note.line, noted) for noted in named)
                return note
        return None

    def covers(self, first: int, last: int, code: str) -> Note | None:
        """The note on lines `first` to `last`, or on the statement there, that names `code` or its family, if any."""
        for note in self.notes:
            named = note.naming(code, first, last)
            if named:
                self._used.add((note.line, named[0]))
                return note
        return None

    def unused(self) -> list[tuple[int, str]]:
        """Line and code of each note that kept nothing off."""
        told = {(note.line, code) for note in self.notes for code in note.codes}
        return sorted(told - self._used)


@dataclass(slots=True)
class _Statement:
    """A simple statement, or the head of a compound one, with its decorators: lines from 1, column from 0."""

    first: int
    last: int
    column: int
    comments: list[tuple[int, str]]


def _notes(text: str) -> Iterator[Note]:
    """The notes in a text, each with its statement: the one it stands in, or the one right below its own line."""
    statements, alone = _read(text)
    for statement in statements:
        for line, comment in statement.comments:
            yield from _told(comment, line, statement.first, statement.last)
    starts = [statement.first for statement in statements]
    for line, (column, comment) in alone.items():
        below = line + 1
        while below in alone:
            below += 1
        at = bisect_left(starts, below)
        found = at < len(starts) and (starts[at], statements[at].column) == (below, column)
        yield from _told(comment, line, *((below, statements[at].last) if found else (line, line)))


def _read(text: str) -> tuple[list[_Statement], dict[int, tuple[int, str]]]:
    """The statements of a text in order, and the comments on lines of their own: line → column and comment."""
    statements: list[_Statement] = []
    alone: dict[int, tuple[int, str]] = {}
    current = _Statement(0, 0, 0, [])  # nothing yet
    decorates = False  # the decorators of what comes next are in `current` already
    inside = False
    for token in _tokens(text):
        line, column = token.start
        if token.type == tokenize.COMMENT:
            if inside or decorates:
                current.comments.append((line, token.string))
            else:
                alone[line] = column, token.string
        elif token.type == tokenize.NEWLINE:
            current.last, inside = line, False
        elif token.type not in _SPACE and not inside:
            inside = True
            if not decorates:
                current = _Statement(line, line, column, [])
                statements.append(current)
            decorates = token.string == "@"
    return statements, alone


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except (tokenize.TokenError, SyntaxError):
        return  # an older Python does not know the newest syntax


def _told(comment: str, line: int, first: int, last: int) -> Iterator[Note]:
    """The notes in a comment about the statement on lines `first` to `last`."""
    found = list(_NOTE.finditer(comment))
    for at, match in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(comment)
        reason = comment[match.end() : end].partition("# ")[0].lstrip(" \t:;,.–—-").rstrip()
        listed = re.split(r"[,\s]+", (match["listed"] or match["bare"] or "").upper())
        codes = tuple(dict.fromkeys(code for code in listed if code))
        yield Note(line, first, last, codes or ("",), reason)


def _leaves(file: SourceFile, request: Request, note: Note) -> bool:
    """Whether a rewrite of several statements takes the note's own over as it is."""
    new = getattr(request, "new", ())
    for root in new if isinstance(new, tuple) else (new,):
        for part in descendants(root):
            if isinstance(part, cst.BaseStatement) and part is not request.node and file.parent(part) is not None:
                span = file.span(part)
                if span.line <= note.first and note.last <= span.end_line:
                    return True
    return False
