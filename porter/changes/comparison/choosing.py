"""A part of a comparison: some rules, some files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ...errors import PortError
from .records import HAND, Change, Comparison


def choose(comparison: Comparison, rules: Sequence[str], files: Sequence[str]) -> Comparison:
    """Only changes by these rules (prefixes count) in these files; all where none is named.

    PortError for a code that nothing in the package has, and for a file that none of it is.
    """
    codes = tuple(code.upper() for code in rules)
    _refuse_absent(comparison, codes)
    _refuse_unknown(comparison, files)
    kept = [file for file in comparison.files if _matches((file.path, file.name), files)]
    return replace(
        comparison,
        files=tuple(replace(file, changes=tuple(c for c in file.changes if _is_by(c, codes))) for file in kept),
        added=_matching(comparison.added, files),
        removed=tuple(names for names in comparison.removed if _matches(names, files)),
        edited_alone=_matching(comparison.edited_alone, files),
    )


def _matching(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if _matches((name,), patterns))


def _is_by(change: Change, codes: tuple[str, ...]) -> bool:
    """Whether a rule whose code begins with one of these, or a person, made a change; any did where none is named."""
    return not codes or any(maker.startswith(codes) for maker in change.makers)


def _refuse_absent(comparison: Comparison, codes: Iterable[str]) -> None:
    """PortError for a code that no change of the package has, and whose prefix none is."""
    present = {*comparison.manifest["rules"], *(rule for _, change in comparison.changes for rule in change.rules)}
    for code in codes:
        if code != HAND and not any(known.startswith(code) for known in present):
            raise PortError(
                f"no rule whose code begins with {code!r} changed anything in this package; diff --stat lists those "
                f"that did, and {HAND} stands for what was edited by hand"
            )


def _refuse_unknown(comparison: Comparison, patterns: Sequence[str]) -> None:
    compared = [(file.path, file.name) for file in comparison.files]
    known = [*compared, *comparison.removed, *((name,) for name in comparison.added)]
    for pattern in patterns:
        if any(_matches(names, [pattern]) for names in known):
            continue
        if any(_matches((name,), [pattern]) for name in comparison.manifest["files"]):
            raise PortError(f"{pattern} has no counterpart upstream that it could be compared with")
        raise PortError(f"no file of upstream or of the package matches {pattern!r}")


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return not patterns or any(_match(name, pattern) for name in names for pattern in patterns)


def _match(name: str, pattern: str) -> bool:
    """Whether a pattern names a file, the end of its path, or a folder around it; `*` stops at no slash."""
    plain = pattern.removeprefix("./").rstrip("/")
    places = (name, *(folder.as_posix() for folder in PurePosixPath(name).parents))
    return bool(plain) and any(fnmatchcase(place, plain) or fnmatchcase(place, f"*/{plain}") for place in places)
