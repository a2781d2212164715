"""Files that differ: upstream's by what changed in them, the package's with or without their header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...syntax.alignment import matcher
from ..hunks import lines_of
from .changes import FileChange
from .code import difference
from .sides import Source

if TYPE_CHECKING:
    from ...package.base import Base
    from ...package.manifest import Manifest


def upstream_files(before: Mapping[str, Source], after: Mapping[str, Source]) -> tuple[FileChange, ...]:
    """Ported files that differ, by path; files are the same that have the same place in the package."""
    found = []
    for target in {*before, *after}:
        old, new = before.get(target), after.get(target)
        if old is None or new is None:
            source = new or old
            assert source is not None
            count = len(source.lines)
            found.append(FileChange(source.path, "removed" if new is None else "added", "", *_counts(new, count)))
            continue
        kind = difference(old.content, new.content)
        was = old.path if old.path != new.path else ""
        if kind != "same":
            found.append(FileChange(new.path, kind, was, *_changed_lines(old.lines, new.lines)))
        elif was:
            found.append(FileChange(new.path, "renamed", was))
    return tuple(sorted(found, key=lambda change: change.file))


def _counts(new: Source | None, count: int) -> tuple[int, int]:
    return (0, count) if new is None else (count, 0)


def consulted_files(old: Manifest, new: Manifest) -> tuple[FileChange, ...]:
    """Files of upstream that were read and not ported; only their hashes are known."""
    before, after = old["consulted"], new["consulted"]
    found = []
    for path in sorted({*before, *after}):
        if path not in before:
            found.append(FileChange(path, "added"))
        elif path not in after:
            found.append(FileChange(path, "removed"))
        elif before[path] != after[path]:
            found.append(FileChange(path, "changed"))
    return tuple(found)


def package_files(old: Manifest, new: Manifest, before: Base, after: Base) -> tuple[FileChange, ...]:
    """Files of the package that differ."""
    found = []
    for name in sorted({*before.generated, *after.generated}):
        was, now = before.generated.get(name), after.generated.get(name)
        if was == now:
            continue
        old_lines, new_lines = _body(name, was, old), _body(name, now, new)
        if was is None or now is None:
            kind = FileChange(name, "added" if was is None else "removed", "", len(new_lines), len(old_lines))
        elif old_lines == new_lines:
            kind = FileChange(name, "header")
        else:
            kind = FileChange(name, "changed", "", *_changed_lines(old_lines, new_lines))
        found.append(kind)
    return tuple(found)


def _body(name: str, content: bytes | None, manifest: Manifest) -> tuple[str, ...]:
    if content is None:
        return ()
    lines, record = lines_of(name, content), manifest["files"][name]
    return (*lines[: record["header_at"]], *lines[record["header_at"] + record["header_lines"] :])


def _changed_lines(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[int, int]:
    """How many lines were added and removed, as a diff counts them."""
    blocks = matcher(old, new).get_matching_blocks()
    same = sum(size for _, _, size in blocks)
    return len(new) - same, len(old) - same
