"""The places where a package differs from upstream, each with the edits that made it so.

A hunk is the smallest run of lines that stands for itself: lines that differ, and all lines of the edits that made
them so. Two edits on one line are one hunk, since neither can be shown, refused or replaced without the other.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from ..errors import PortError
from ..syntax.alignment import LONG, matcher
from ..syntax.text import decode, split_lines

if TYPE_CHECKING:
    from ..package.base import Base
    from ..package.manifest import EditRecord, Manifest

_SCOPE = re.compile(r"[ \t]*(?:class|(?:async[ \t]+)?def)[ \t]+(?P<name>\w+)")
_TRAILING_COMMA = re.compile(r",(?=[)\]}])")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of upstream and what became of them; line numbers from 1, in the text without and with its header."""

    path: str  # upstream
    target: str  # inside the package, as edits name it
    line: int  # of the first of `old`; where `old` is empty, of the line that follows
    old: tuple[str, ...]  # lines with their ends
    target_line: int
    new: tuple[str, ...]
    edits: tuple[EditRecord, ...]  # at least one
    scope: str  # qualified name of the class or function around, "" for the module
    key: str  # names the hunk by its upstream code: the same wherever that stands and however it is laid out

    @property
    def rules(self) -> tuple[str, ...]:
        """Codes of the rules at work, sorted."""
        return tuple(sorted({edit["rule"] for edit in self.edits}))


@dataclass(frozen=True, slots=True)
class Sides:
    """The two texts of a file, as lines with their ends; `new` still has its header."""

    path: str
    target: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    header: tuple[int, int]  # first and one past the last line of the header in `new`, from 0


def sides_of(manifest: Manifest, base: Base) -> Iterator[Sides]:
    """Both texts of every file that mirrors one of upstream's, in order of its place."""
    for name, record in sorted(manifest["files"].items()):
        path = record["upstream"]
        if path is not None:
            target = name.removeprefix(f"{manifest['package']}/")
            first = record["header_at"]
            old, new = lines_of(path, base.upstream[path]), lines_of(name, base.generated[name])
            yield Sides(path, target, old, new, (first, first + record["header_lines"]))


def hunks_of(manifest: Manifest, base: Base) -> list[Hunk]:
    """All hunks of a package as it was generated, in order of file and line.

    PortError where port.json tells of other places.
    """
    edits: dict[str, list[EditRecord]] = {}
    for edit in manifest["edits"]:
        edits.setdefault(edit["target"], []).append(edit)
    found = (hunk for sides in sides_of(manifest, base) for hunk in hunks_in(sides, edits.get(sides.target, [])))
    try:
        return numbered(found)
    except ValueError as error:
        raise PortError(f"port.json is damaged: {error}; generate with --force") from None


def numbered(found: Iterable[Hunk]) -> list[Hunk]:
    """Hunks in order, the second of equal code in one place with `.2` behind its key, and so on."""
    seen: Counter[str] = Counter()
    result = []
    for hunk in found:
        seen[hunk.key] += 1
        result.append(hunk if seen[hunk.key] == 1 else replace(hunk, key=f"{hunk.key}.{seen[hunk.key]}"))
    return result


def hunks_in(sides: Sides, edits: Sequence[EditRecord]) -> Iterator[Hunk]:
    """The hunks of one file; keys of equal code are equal. A difference that no edit explains is a ValueError."""
    first, last = sides.header
    body = _without_header(sides)

    def below(line: int) -> int:
        """Without its header the text lines up with upstream's; a line of an edit is moved back accordingly."""
        return line - (last - first) if line > first else line

    spans = [(e["line"] - 1, e["end_line"], below(e["target_line"]) - 1, below(e["target_end_line"])) for e in edits]
    scopes = scopes_of(sides.old)
    for (a, b, c, d), near in _blocks(sides.old, body, spans):
        inside = tuple(edits[index] for index in sorted(near) if _touches(spans[index], (a, b, c, d)))
        if not inside:
            raise ValueError(f"{sides.path}:{a + 1}: no edit tells of this difference")
        old, scope = sides.old[a:b], scopes(a)
        yield Hunk(
            path=sides.path,
            target=sides.target,
            line=a + 1,
            old=old,
            target_line=c + 1 + (last - first if c >= first else 0),
            new=body[c:d],
            edits=inside,
            scope=scope,
            key=key_of(sides.target, scope, "".join(old), (edit["rule"] for edit in inside)),
        )


def _without_header(sides: Sides) -> tuple[str, ...]:
    """The new lines without those of the header."""
    first, last = sides.header
    body = (*sides.new[:first], *sides.new[last:])
    if body and first == len(body) and sides.old and body[-1].rstrip("\r\n") == sides.old[-1]:
        return (*body[:-1], sides.old[-1])  # a last line without an end got one, for the header to follow
    return body


def key_of(target: str, scope: str, code: str, rules: Iterable[str]) -> str:
    """A name for code of upstream that rules change: 16 hex digits; white space and quotes do not matter."""
    told = "\0".join((target, scope, plain_code(code), *sorted(set(rules))))
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def plain_code(code: str) -> str:
    """Code without what a formatter changes: white space, trailing commas, the kind of quotes."""
    return _TRAILING_COMMA.sub("", "".join(code.split())).replace("'", '"')


def lines_of(name: str, content: bytes) -> tuple[str, ...]:
    """Lines of a Python file's text, with their ends."""
    text, _ = decode(name, content)
    return split_lines(text)


def scopes_of(lines: Sequence[str]) -> _Scopes:
    """A function from a line (from 0) to the qualified name of the class or function around it."""
    return _Scopes(lines)


class _Scopes:
    """Classes and functions by their indentation; strings that look like them do no harm, being the same each time."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._starts: list[int] = []
        self._names: list[str] = []
        around: list[tuple[int, str]] = []
        for number, line in enumerate(lines):
            if not line.strip() or line.lstrip().startswith(("#", ")", "]", "}")):
                continue
            indent = len(line) - len(line.lstrip())
            while around and around[-1][0] >= indent:
                around.pop()
            found = _SCOPE.match(line)
            if found:
                around.append((indent, found["name"]))
            self._starts.append(number)
            self._names.append(".".join(name for _, name in around))

    def __call__(self, line: int) -> str:
        at = bisect_right(self._starts, line) - 1
        return self._names[at] if at >= 0 else ""


_Range = tuple[int, int, int, int]  # half-open: lines of the old text, lines of the new one
_Block = tuple[_Range, set[int]]  # and the edits that may have to do with it


def _blocks(old: Sequence[str], new: Sequence[str], spans: Sequence[_Range]) -> list[_Block]:
    """Where two texts differ, and the whole lines of the edits there.

    With whole lines, the code of a hunk is the same however a formatter breaks it.
    """
    found: list[_Block] = []
    end = (-1, -1)  # of the last difference
    for (a, b, c, d), near in _pieces(old, new, spans):
        opcodes = matcher(old[a:b], new[c:d]).get_opcodes()
        codes = [(a + i, a + j, c + k, c + m) for kind, i, j, k, m in opcodes if kind != "equal"]
        if not codes:
            continue
        inside = [spans[index] for index in sorted(near)]
        goes_on = end == (codes[0][0], codes[0][2])  # the piece before ends with a difference, and this begins with one
        end = codes[-1][1], codes[-1][3]
        grown = _grown([_settled(code, old, new, inside) for code in codes], inside)
        if goes_on:
            before, edits = found.pop()
            grown[0], near = _joined(before, grown[0]), near | edits
        found += [(block, near) for block in grown]
    return _apart(found)


def _pieces(old: Sequence[str], new: Sequence[str], spans: Sequence[_Range]) -> list[_Block]:
    """The whole of short texts; of long ones the lines of edits, those that share some together.

    Between two pieces both texts are the same. To compare long texts whole would take the square of their length.
    """
    if len(old) + len(new) <= LONG:
        return [((0, len(old), 0, len(new)), set(range(len(spans))))]
    pieces: list[_Block] = [((0, 0, 0, 0), set())]
    end: _Block = (len(old), len(old), len(new), len(new)), set()
    for span, edits in (*((spans[i], {i}) for i in sorted(range(len(spans)), key=spans.__getitem__)), end):
        piece, near = pieces[-1]
        if span[0] >= piece[1] and span[2] >= piece[3] and old[piece[1] : span[0]] == new[piece[3] : span[2]]:
            pieces.append((span, edits))
        else:
            pieces[-1] = _joined(piece, span), near | edits
    return pieces


def _joined(first: _Range, second: _Range) -> _Range:
    """The lines of both, and those between."""
    a, b, c, d = first
    return min(a, second[0]), max(b, second[1]), min(c, second[2]), max(d, second[3])


def _grown(found: list[_Range], spans: Sequence[_Range]) -> list[_Range]:
    """Blocks with all lines of the edits that touch them."""
    for span in spans:
        touched = [index for index, block in enumerate(found) if _touches(span, block)]
        if touched:
            first, last = touched[0], touched[-1]
            (a, _, c, _), (_, b, _, d) = found[first], found[last]
            # Lines between two blocks are equal on both sides, so both grow by as many.
            up, down = max(0, a - span[0], c - span[2]), max(0, span[1] - b, span[3] - d)
            found[first : last + 1] = [(a - up, b + down, c - up, d + down)]
    return found


def _settled(block: _Range, old: Sequence[str], new: Sequence[str], spans: Sequence[_Range]) -> _Range:
    """A block of lines added or removed among equal ones could as well begin a line earlier or later: where an edit is.

    Each step moves it past one line that both texts have, so what it tells stays the same.
    """
    if block[0] < block[1] and block[2] < block[3]:
        return block
    places = chain([block], _moved(block, -1, old, new), _moved(block, 1, old, new))
    return next((place for place in places if any(_touches(span, place) for span in spans)), block)


def _moved(block: _Range, step: int, old: Sequence[str], new: Sequence[str]) -> Iterator[_Range]:
    """The other places of a block of lines added or removed, up or down, step by step."""
    a, b, c, d = block
    text, first, last = (new, c, d) if c < d else (old, a, b)
    gone, come = (last - 1, first - 1) if step < 0 else (first, last)
    while 0 <= come < len(text) and text[gone] == text[come]:
        gone, come = gone + step, come + step
        a, b, c, d = a + step, b + step, c + step, d + step
        yield a, b, c, d


def _touches(span: _Range, block: _Range) -> bool:
    start, end, target, target_end = span
    return (start < block[1] and block[0] < end) or (target < block[3] and block[2] < target_end)


def _apart(blocks: Sequence[_Block]) -> list[_Block]:
    """Blocks in order, those that meet after they have grown made one."""
    result: list[_Block] = []
    for block, near in sorted(blocks, key=lambda found: found[0]):
        if result and block[0] < result[-1][0][1]:
            before, edits = result.pop()
            result.append((_joined(before, block), edits | near))
        else:
            result.append((block, near))
    return result


def by_file(hunks: Iterable[Hunk]) -> Mapping[str, list[Hunk]]:
    """Hunks by their file's place in the package, in order."""
    result: dict[str, list[Hunk]] = {}
    for hunk in hunks:
        result.setdefault(hunk.target, []).append(hunk)
    return result
