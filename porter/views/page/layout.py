"""A file's changes as pieces of a page: hunks with the lines around them, and all other lines folded away."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ...changes.comparison import Change, FileChanges
from ...changes.comparison.rows import CONTEXT
from .highlight import highlighted


@dataclass(frozen=True, slots=True)
class Line:
    """One line as HTML; number 0 is not shown, an empty anchor is none."""

    number: int
    html: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines side by side."""

    same: bool
    old: tuple[Line, ...]
    new: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class HunkPiece:
    """A change with lines around it."""

    change: Change
    blocks: tuple[Block, ...]
    kinds: tuple[str, ...]  # who was at work: "rule", "hand", "decided", "conflict"
    gap: int  # lines of upstream since the change before it, or since the file's start


@dataclass(frozen=True, slots=True)
class FoldPiece:
    """Lines of upstream between changes."""

    lines: tuple[Line, ...]


Piece = HunkPiece | FoldPiece


class Layout:
    """Cuts a file into pieces; `anchors` names lines of upstream, from 1, that something links to."""

    def __init__(self, file: FileChanges, anchors: dict[int, str], marked: Collection[int] = ()) -> None:
        """Both texts are highlighted whole: a line alone does not tell that it is inside a string.

        `marked` are lines on disk where a conflict begins.
        """
        self._file, self._anchors, self._marked = file, anchors, marked
        self._old = highlighted([file.old_text(line) for line in file.lines])
        new: list[str] = []
        self._new_at: list[int] = []  # of each change's first new line, in the new text
        at = 0
        for change in file.changes:
            new += [file.old_text(line) for line in file.lines[at : change.line - 1]]
            self._new_at.append(len(new))
            new += [file.new_text(line) for line in change.new]
            at = change.line - 1 + len(change.old)
        self._new = highlighted([*new, *(file.old_text(line) for line in file.lines[at:])])

    def pieces(self) -> Iterator[Piece]:
        """In order; every line of upstream is in one of them."""
        changes, total = self._file.changes, len(self._file.lines)
        starts = [change.line - 1 for change in changes]
        ends = [change.line - 1 + len(change.old) for change in changes]
        shown = 0
        for index, change in enumerate(changes):
            before = max(shown, starts[index] - CONTEXT)
            if shown < before:
                yield FoldPiece(self._lines(shown, before))
            shown = min(ends[index] + CONTEXT, total)
            if index + 1 < len(changes) and starts[index + 1] - ends[index] <= 2 * CONTEXT:
                shown = ends[index] + (starts[index + 1] - ends[index]) // 2
            blocks = (
                *self._same(before, starts[index]),
                *self._changed(change, self._new_at[index]),
                *self._same(ends[index], shown),
            )
            yield HunkPiece(
                change, blocks, kinds_of(change, self._marked), starts[index] - (ends[index - 1] if index else 0)
            )
        if shown < total:
            yield FoldPiece(self._lines(shown, total))

    def _lines(self, start: int, end: int) -> tuple[Line, ...]:
        return tuple(Line(at + 1, self._old[at], self._anchors.get(at + 1, "")) for at in range(start, end))

    def _same(self, start: int, end: int) -> Iterator[Block]:
        if start < end:
            new = tuple(Line(self._file.numbers[at], self._old[at]) for at in range(start, end))
            yield Block(True, self._lines(start, end), new)

    def _changed(self, change: Change, new_at: int) -> Iterator[Block]:
        first = change.line - 1
        matcher = difflib.SequenceMatcher(None, change.old, change.new, autojunk=False)
        for kind, a, b, c, d in matcher.get_opcodes():
            new = tuple(Line(change.target_line + at, self._new[new_at + at]) for at in range(c, d))
            yield Block(kind == "equal", self._lines(first + a, first + b), new)


def pieces_of(file: FileChanges, anchors: dict[int, str], marked: Collection[int] = ()) -> Sequence[Piece]:
    """All pieces of a file."""
    return list(Layout(file, anchors, marked).pieces())


def kinds_of(change: Change, marked: Collection[int]) -> tuple[str, ...]:
    """Who was at work in a change; `marked` are lines on disk where a conflict begins."""
    told = {
        "rule": bool(change.edits) and change.stands,
        "hand": change.by_hand,
        "decided": change.decision is not None,
        "conflict": holds_line(change, marked),
    }
    return tuple(name for name, holds in told.items() if holds)


def holds_line(change: Change, lines: Collection[int]) -> bool:
    """Whether one of these lines on disk is in what stands there."""
    return any(change.target_line <= line < change.target_line + len(change.new) for line in lines)
