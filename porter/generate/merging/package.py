"""All files of a package, merged."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .found import Conflict
from .markers import marked_lines
from .text import Side, both_added, merge_text


@dataclass(frozen=True, slots=True)
class Merged:
    """A package with its hand edits, by place beside port.json."""

    contents: Mapping[str, bytes]
    conflicts: tuple[Conflict, ...]


def merge_package(base: Mapping[str, Side], ours: Mapping[str, bytes], theirs: Mapping[str, Side]) -> Merged:
    """The package `theirs` with what somebody made of `base`: `ours` holds the files changed or added by hand."""
    contents = {name: side.content for name, side in theirs.items()}
    conflicts: list[Conflict] = []
    for name, mine in sorted(ours.items()):
        contents[name], found = _merged(name, base.get(name), mine, theirs.get(name))
        conflicts += found
    broken = troubles({name: contents[name] for name in ours}, {name: side.content for name, side in theirs.items()})
    told = {conflict.file for conflict in conflicts}
    return Merged(contents, tuple(sorted([*conflicts, *(c for c in broken if c.file not in told)], key=_place)))


def _merged(name: str, base: Side | None, ours: bytes, theirs: Side | None) -> tuple[bytes, list[Conflict]]:
    """One file that was changed or added by hand, with what generate makes of it now."""
    if theirs is None:
        gone = Conflict(name, 1, "gone upstream", "edited by hand, and gone upstream; it was kept")
        return ours, [gone] if base is not None else []
    if base is None:
        merged = both_added(ours, theirs.content)
        told = "added by hand, and new in the package; both are marked"
        return merged.content, [Conflict(name, line, "both added", told) for line in merged.conflicts]
    merged = merge_text(base, ours, theirs)
    told = "changed by hand and by generate; both are marked"
    return merged.content, [Conflict(name, line, "both changed", told) for line in merged.conflicts]


def troubles(edited: Mapping[str, bytes], generated: Mapping[str, bytes]) -> tuple[Conflict, ...]:
    """Files that were edited and need a look: conflicts still marked, or no longer Python where `generated` is."""
    return tuple(sorted(_troubles(edited, generated), key=_place))


def _troubles(edited: Mapping[str, bytes], generated: Mapping[str, bytes]) -> Iterable[Conflict]:
    for name, content in edited.items():
        marked = marked_lines(content)
        for line in marked:
            yield Conflict(name, line, "still marked", "a conflict of an earlier merge is still marked")
        if not marked and name in generated:
            error = _syntax_error(content)
            if error and not _syntax_error(generated[name]):
                line, message = error
                yield Conflict(name, line, "not Python", f"with the hand edits it is not valid Python: {message}")


def _syntax_error(content: bytes) -> tuple[int, str] | None:
    """Line and message where bytes, in the codec that they name, are no Python file. Nothing is executed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in strings, which are upstream's own
        try:
            compile(content, "<package>", "exec", dont_inherit=True)
        except SyntaxError as error:
            return error.lineno or 1, error.msg
        except (ValueError, RecursionError, MemoryError) as error:
            return 1, str(error) or type(error).__name__
    return None


def _place(conflict: Conflict) -> tuple[str, int]:
    return conflict.file, conflict.line
