"""A comparison as a patch: what `git apply` in a checkout of upstream needs to make its files the port's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .records import Change, Comparison, FileChanges
from .rows import CONTEXT, Row, groups_of, rows_of

_NO_END = b"\n\\ No newline at end of file\n"


def patch_of(comparison: Comparison) -> Iterator[bytes]:
    """Its lines with their ends, in each file's own codec.

    Why something changed is told behind the second `@@` of a heading, and what no patch can hold before the first
    file; git reads neither.
    """
    for note in notes_of(comparison):
        yield f"# {note}\n".encode("utf-8", "surrogateescape")
    for file in comparison.files:
        yield from _file(file)


def notes_of(comparison: Comparison) -> list[str]:
    """What people did to whole files and to files that upstream does not have, and conflicts that are left."""
    return [
        *(f"added by hand: {name}" for name in comparison.added),
        *(f"removed by hand: {name}, which is {path} upstream" for path, name in comparison.removed),
        *(f"edited by hand, not upstream's: {name}" for name in comparison.edited_alone),
        *(f"not solved: {one.file}:{one.line}: {one.message}" for one in comparison.marked),
    ]


def words_of(change: Change) -> list[str]:
    """Who made a change and why, a phrase each."""
    told = [f"{rule} ({safety}): {reason}" for rule, safety, reason in change.reasons]
    return [*told, change.people_words] if change.people_words else told


def _file(file: FileChanges) -> Iterator[bytes]:
    effective = [change for change in file.changes if change.old != change.new]
    if not effective:
        return
    old, new = _quoted(f"a/{file.path}"), _quoted(f"b/{file.path}")
    yield b"diff --git " + old + b" " + new + b"\n"
    yield b"--- " + old + _tab(old) + b"\n"
    yield b"+++ " + new + _tab(new) + b"\n"
    grown = 0
    for group in groups_of(file, effective):
        rows, line = rows_around(file, group)
        marks = [mark for mark, _ in rows]
        removed, added = len(rows) - marks.count("+"), len(rows) - marks.count("-")
        words = "; ".join(dict.fromkeys(phrase for change in group for phrase in words_of(change)))
        heading = f"@@ -{_range(line, removed)} +{_range(line + grown, added)} @@ {words}\n"
        yield heading.encode("utf-8", "surrogateescape")
        for mark, content in rows:
            yield mark.encode() + (content if content.endswith(b"\n") else content + _NO_END)
        grown += added - removed


def rows_around(file: FileChanges, group: Sequence[Change]) -> tuple[list[Row], int]:
    """Lines of changes that are shown together, with those around and between; the first one's number upstream."""
    start = max(0, group[0].line - 1 - CONTEXT)
    rows: list[Row] = []
    at = start
    for change in group:
        rows += [(" ", line) for line in file.lines[at : change.line - 1]]
        rows += rows_of(change)
        at = change.line - 1 + len(change.old)
    rows += [(" ", line) for line in file.lines[at : at + CONTEXT]]
    # Changes may begin and end with lines that stay; patch takes unequal context for the edge of a file.
    before = _leading(rows) - CONTEXT
    after = _leading(rows[::-1]) - CONTEXT
    return rows[max(0, before) : len(rows) - max(0, after)], start + max(0, before) + 1


def _leading(rows: Sequence[Row]) -> int:
    return next((number for number, (mark, _) in enumerate(rows) if mark != " "), len(rows))


def _range(line: int, count: int) -> str:
    """Lines as diff writes them: none stand behind the line before."""
    return f"{line if count else line - 1},{count}"


def _quoted(path: str) -> bytes:
    """A path as git writes it: quoted where it holds a quote, a backslash or a control character."""
    raw = path.encode("utf-8", "surrogateescape")
    if not any(byte < 0x20 or byte in b'"\\\x7f' for byte in raw):
        return raw
    escaped = b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte == 0x7F else b"\\" + bytes([byte]) if byte in b'"\\' else bytes([byte])
        for byte in raw
    )
    return b'"' + escaped + b'"'


def _tab(name: bytes) -> bytes:
    """What ends a name with a space in it, for patch."""
    return b"\t" if b" " in name and not name.startswith(b'"') else b""
