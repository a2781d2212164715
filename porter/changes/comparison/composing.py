"""Two steps made one: upstream to what was generated, and that to what is on disk now.

Everything is laid over the lines of the generated file. A span there is a rule's hunk, lines changed by hand, or the
header. Spans that meet are one change; what no span covers is the same in all three texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...syntax.alignment import matcher
from ..hunks import Hunk, key_of, scopes_of
from .records import Change

Lines = tuple[bytes, ...]
_Block = tuple[str, int, int, int, int]  # as difflib's opcodes: what, and lines of both texts
MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark


@dataclass(frozen=True, slots=True)
class Texts:
    """The three texts of a file in lines; upstream's first one keeps its byte order mark, the others have none."""

    upstream: Lines
    generated: Lines
    disk: Lines
    mark: bytes  # of the file on disk
    header: tuple[int, int]  # of `generated`: first line and one past the last, from 0


@dataclass(frozen=True, slots=True)
class _Span:
    """Lines of the generated file, from 0; by how much upstream and disk have more lines for them."""

    start: int
    end: int
    more_upstream: int = 0
    more_on_disk: int = 0
    hunks: tuple[Hunk, ...] = ()
    by_hand: bool = False

    @classmethod
    def covering(cls, spans: Sequence[_Span]) -> _Span:
        """One for several that meet."""
        return cls(
            min(span.start for span in spans),
            max(span.end for span in spans),
            sum(span.more_upstream for span in spans),
            sum(span.more_on_disk for span in spans),
            tuple(hunk for span in spans for hunk in span.hunks),
            any(span.by_hand for span in spans),
        )


def compose(target: str, texts: Texts, hunks: Sequence[Hunk]) -> tuple[tuple[Change, ...], tuple[int, ...]]:
    """The changes of a file, and for each line of upstream its number on disk (0 inside a change).

    Upstream's lines with all changes made are the lines on disk without the generated header.
    """
    blocks = matcher(texts.generated, texts.disk).get_opcodes()
    header = _header_on_disk(texts, blocks)
    scopes = scopes_of([line.decode("latin-1") for line in texts.upstream])
    changes: list[Change] = []
    numbers: list[int] = []
    up = down = 0  # what upstream and disk have more, so far
    for span in map(_Span.covering, _clusters(_spans(texts, hunks, blocks))):
        a, e = span.start + up, span.start + down
        up += span.more_upstream
        down += span.more_on_disk
        b, f = span.end + up, span.end + down
        numbers += range(e - (a - len(numbers)) + 1, e + 1)
        numbers += [0] * (b - a)
        kept = [line for line in range(e, f) if line not in header]
        change = Change(
            a + 1,
            texts.upstream[a:b],
            (kept[0] if kept else e) + 1,
            tuple(texts.disk[line] for line in kept),
            tuple(edit for hunk in span.hunks for edit in hunk.edits),
            span.by_hand,
            scopes(a),
            "",
        )
        changes += _keyed(target, change, span.hunks)
    left = len(texts.upstream) - len(numbers)
    numbers += range(len(texts.disk) - left + 1, len(texts.disk) + 1)
    return tuple(_with_mark(changes, texts, numbers)), tuple(numbers)


def _keyed(target: str, change: Change, hunks: Sequence[Hunk]) -> list[Change]:
    """A change with the key of its hunk, or one of its own; none where there is nothing to tell.

    Lines that a rule put in and a person took out again are told too.
    """
    if not (change.old or change.new or hunks):
        return []
    code = b"".join(change.old).decode("latin-1")
    return [replace(change, key=hunks[0].key if hunks else key_of(target, change.scope, code, iter(())))]


def _spans(texts: Texts, hunks: Sequence[Hunk], blocks: Sequence[_Block]) -> list[_Span]:
    """The hunks, what people changed, and the header."""
    first, last = texts.header
    spans = [_of_hunk(hunk, texts.header) for hunk in hunks]
    spans += [
        _Span(c, d, more_on_disk=(f - e) - (d - c), by_hand=True) for kind, c, d, e, f in blocks if kind != "equal"
    ]
    return spans + ([_Span(first, last, more_upstream=first - last)] if first < last else [])


def _header_on_disk(texts: Texts, blocks: Sequence[_Block]) -> set[int]:
    """The lines on disk that are the header's, those that a person moved too; its empty line only in its place."""
    first, last = texts.header
    words = {line for line in texts.generated[first:last] if line.strip()}
    return {number for number, line in enumerate(texts.disk) if line in words} | {
        e + line - c for kind, c, d, e, _ in blocks if kind == "equal" for line in range(max(c, first), min(d, last))
    }


def _of_hunk(hunk: Hunk, header: tuple[int, int]) -> _Span:
    first, last = header
    start = hunk.target_line - 1
    end = start + len(hunk.new)
    if start < first < end:
        end += last - first
    return _Span(start, end, more_upstream=len(hunk.old) - len(hunk.new), hunks=(hunk,))


def _clusters(spans: Sequence[_Span]) -> Iterator[list[_Span]]:
    """Spans that meet, together. Lines put in at the edge of a span stand for themselves."""
    group: list[_Span] = []
    start = end = -1
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        meets = (start < span.end and span.start < end) or (start == end == span.start == span.end)
        if group and not meets:
            yield group
            group, start, end = [], span.start, span.end
        elif not group:
            start = span.start
        group.append(span)
        end = max(end, span.end)
    if group:
        yield group


def _with_mark(changes: list[Change], texts: Texts, numbers: list[int]) -> list[Change]:
    """The changes with the byte order mark where it belongs: before the first line, whatever that is."""
    at_top = bool(changes) and changes[0].line == 1
    if _mark_stays(texts, at_top):
        return changes
    if not at_top:
        plain = texts.upstream[0].removeprefix(MARK)
        top = Change(1, texts.upstream[:1], numbers[0], (plain,), (), True, "", key_of("", "", "", iter(())))
        numbers[0] = 0
        changes = [top, *changes]
    # A first line that comes or goes takes the mark along, so the line that follows is part of the change.
    while _lacks_line(changes, texts.upstream):
        changes = _longer(changes, texts.upstream, numbers)
    top = changes[0]
    if top.new:
        top = replace(top, new=(texts.mark + top.new[0], *top.new[1:]))
    return [top, *changes[1:]]


def _mark_stays(texts: Texts, first_changes: bool) -> bool:
    """Whether the byte order mark is in no change."""
    if not texts.upstream:
        return True
    marked = texts.upstream[0].startswith(MARK)
    return marked == bool(texts.mark) and not (marked and first_changes)


def _lacks_line(changes: list[Change], upstream: Lines) -> bool:
    """Whether the first change has no lines on one side, and anything follows: a line, or lines put in at the end."""
    top = changes[0]
    return not (top.old and top.new) and (top.line - 1 + len(top.old) < len(upstream) or len(changes) > 1)


def _longer(changes: list[Change], upstream: Lines, numbers: list[int]) -> list[Change]:
    """The changes, the first one longer: by the next one where that follows at once, else by a line."""
    top = changes[0]
    end = top.line - 1 + len(top.old)
    if len(changes) > 1 and changes[1].line - 1 == end:
        following = changes[1]
        joined = replace(
            top,
            old=top.old + following.old,
            new=top.new + following.new,
            edits=top.edits + following.edits,
            by_hand=top.by_hand or following.by_hand,
        )
        return [joined, *changes[2:]]
    numbers[end] = 0
    line = upstream[end]
    return [replace(top, old=(*top.old, line), new=(*top.new, line.removeprefix(MARK))), *changes[1:]]
