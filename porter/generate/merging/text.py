"""One file, merged by lines, with conflicts marked in it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .lines import Region, matches, regions
from .markers import BEFORE, END, MIDDLE, START

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Side:
    """A text, and the lines of its generated header: first and one past the last, from 0."""

    content: bytes
    header: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class MergedText:
    """The result, and the lines (from 1) of its conflicts."""

    content: bytes
    conflicts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    """How lines are put into a file."""

    mark: bytes  # byte order mark, or nothing
    end: bytes


def merge_text(base: Side, ours: bytes, theirs: Side) -> MergedText:
    """`ours` and `theirs`, both made from `base`, in one text; no line of either side is dropped unseen."""
    if ours == base.content or ours == theirs.content:
        return MergedText(theirs.content)
    if theirs.content == base.content:
        return MergedText(ours)
    lines, form = _in_one_form(base.content, ours, theirs.content)
    old, mine, new = lines
    _renew_header(old, mine, new, base.header, theirs.header)
    result: list[bytes] = []
    conflicts: list[int] = []
    for region in regions(old, mine, new):
        agreed = region.agreed
        if agreed is None:
            conflicts.append(len(result) + 1)
            agreed = _marked(region)
        result += agreed
    result[:-1] = _ended(result[:-1])
    if form.end != b"\n":
        result = [line[:-1] + form.end if line.endswith(b"\n") else line for line in result]
    return MergedText(form.mark + b"".join(result), tuple(conflicts))


def both_added(ours: bytes, theirs: bytes) -> MergedText:
    """Two texts that nothing was before, one after the other in one conflict."""
    return merge_text(Side(b""), ours, Side(theirs))


def _in_one_form(base: bytes, ours: bytes, theirs: bytes) -> tuple[tuple[list[bytes], ...], _Form]:
    """Lines that differ only where the text does, and the form that the result gets.

    An editor that changes all line ends would otherwise change all lines. Where a text mixes line ends, its lines
    are compared with them.
    """
    mark = _picked(*map(_mark, (base, ours, theirs)))
    lines = [text.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True) for text in (base, ours, theirs)]
    ends = [set(map(_end, found)) - {b""} for found in lines]
    if any(len(found) > 1 for found in ends) or set().union(*ends) <= {b"\n"}:
        return tuple(lines), _Form(mark, b"\n")
    usual = next(iter(ends[0] or ends[2] or ends[1]))
    end = _picked(*(next(iter(found), usual) for found in ends))
    return tuple([*map(_with_newline, found)] for found in lines), _Form(mark, end)


def _mark(content: bytes) -> bytes:
    return codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""


def _with_newline(line: bytes) -> bytes:
    """A line whose end, if it has one, is a newline alone."""
    text = line.rstrip(b"\r\n")
    return text + b"\n" if text != line else line


def _picked(base: _T, ours: _T, theirs: _T) -> _T:
    return theirs if ours == base else ours


def _end(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def _renew_header(
    base: list[bytes], ours: list[bytes], theirs: list[bytes], old: tuple[int, int], new: tuple[int, int]
) -> None:
    """Put the new header's lines where the old one's still stand as they were generated.

    They differ with each revision, and beside them an edit would be a conflict with a line that nobody changed.
    """
    if old[1] - old[0] != new[1] - new[0]:
        return
    kept = matches(base, ours)
    for before, now in zip(range(*old), range(*new), strict=True):
        if before in kept:
            ours[kept[before]] = base[before] = theirs[now]


def _marked(region: Region) -> tuple[bytes, ...]:
    parts = ((START, region.ours), (BEFORE, region.base), (MIDDLE, region.theirs))
    return (*(line for marker, lines in parts for line in (marker + b"\n", *_ended(lines))), END + b"\n")


def _ended(lines: Sequence[bytes]) -> list[bytes]:
    """Lines that another one can follow."""
    return [line if line.endswith((b"\n", b"\r")) else line + b"\n" for line in lines]
