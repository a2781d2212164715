"""Which edits are neither in a merged file nor in a conflict that is marked in it.

Written from what a person expects of the result, not from how it is made: nothing of the merge is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .cases import Case, Text, is_own

_MARKERS = {
    "<<<<<<< edited by hand": "ours",
    "||||||| generated before": "base",
    "=======": "theirs",
    ">>>>>>> generated now": "clean",
}


@dataclass(frozen=True)
class Reading:
    """A merged file, as one who takes the same side in each conflict reads it."""

    ours: list[str]
    theirs: list[str]
    disputed: frozenset[str]  # lines of the old text in any conflict
    conflicts: int


def read(content: bytes) -> Reading:
    """Read a merged file. ValueError where markers are not in order."""
    parts: dict[str, list[str]] = {"ours": [], "theirs": [], "base": []}
    part, conflicts = "clean", 0
    follows = {"clean": "ours", "ours": "base", "base": "theirs", "theirs": "clean"}
    for line in content.decode("utf-8-sig").splitlines():
        if line in _MARKERS:
            if _MARKERS[line] != follows[part]:
                raise ValueError(f"the marker {line} follows the part {part}")
            part = follows[part]
            conflicts += part == "ours"
        else:
            for name in ("ours", "theirs") if part == "clean" else (part,):
                parts[name].append(line)
    if part != "clean":
        raise ValueError("a conflict has no end")
    return Reading(parts["ours"], parts["theirs"], frozenset(parts["base"]), conflicts)


def lost(case: Case, content: bytes, *, count: bool = True) -> list[str]:
    """What was lost of either side, in words; nothing where the merge is good.

    `count` False where not every edit of a common line is on record.
    """
    try:
        reading = read(content)
    except ValueError as error:
        return [str(error)]
    found = [
        *(f"by hand: {told}" for told in _lost(case.base, case.ours, case.theirs, reading.ours, reading)),
        *(f"upstream: {told}" for told in _lost(case.base, case.theirs, case.ours, reading.theirs, reading)),
    ]
    if count and not (reading.conflicts or case.ours.moved or case.theirs.moved):
        found += _miscounted(case, reading.ours)
    known = {*case.base.lines, *case.ours.lines, *case.theirs.lines}
    found += [f"made up: {line!r}" for line in (*reading.ours, *reading.theirs) if line not in known]
    if case.ours.end != case.base.end and _ends(case.ours.content) == {case.ours.end}:
        found += [f"the line end {end!r}" for end in _ends(content) - {case.ours.end}]
    if case.ours.mark != case.base.mark and not content.startswith(case.ours.mark):
        found.append("the byte order mark")
    return found


def _lost(base: Text, side: Text, other: Text, result: list[str], reading: Reading) -> Iterator[str]:
    counts = Counter(line for line in result if is_own(line))
    before, now = _own(base.lines), _own(side.lines)
    for line in sorted(set(now) - set(before)):
        if counts[line] != 1:
            yield f"{line!r} was put in, and is there {counts[line]} times"
    for line in sorted(set(before) - set(now)):
        if counts[line] and line not in reading.disputed:
            yield f"{line!r} was taken out, and is there"
    # One line moved down is the other moved up; so when the other side took a line out, it may be gone.
    for line in _own(sorted(side.moved & set(now) & set(other.lines))):
        if counts[line] != 1 and line not in reading.disputed:
            yield f"{line!r} was moved, and is there {counts[line]} times"
    # What nobody moved, and all of this side's own doing unless it may have followed neighbours that moved.
    kept = {*before} & {*other.lines} - other.moved - side.moved
    if not other.moved:
        kept |= side.moved & {*other.lines} | {*now} - {*before}
    shared = {line for line in now if counts[line] == 1 and line in kept}
    if [line for line in now if line in shared] != [line for line in result if line in shared]:
        yield "lines are in another order"


def _miscounted(case: Case, result: list[str]) -> Iterator[str]:
    """Lines that look alike can only be counted: both sides may have put in or taken out the same ones.

    Where something moved not even that: a line that moves up past another is the other moving down.
    """
    counts, before = Counter(result), Counter(case.base.lines)
    ours, theirs = case.ours, case.theirs
    for line in sorted({*counts, *before, *ours.added, *theirs.added}):
        least = before[line] + max(ours.added[line], theirs.added[line]) - ours.removed[line] - theirs.removed[line]
        most = before[line] + ours.added[line] + theirs.added[line] - max(ours.removed[line], theirs.removed[line])
        if line.strip() and not line.startswith("# header__") and not least <= counts[line] <= most:
            yield f"{line!r} is there {counts[line]} times, not {least} to {most}"


def _own(lines: list[str]) -> list[str]:
    return [line for line in lines if is_own(line)]


def _ends(content: bytes) -> set[str]:
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    return {line[len(line.rstrip("\r\n")) :] for line in lines} - {""}
