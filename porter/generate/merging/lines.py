"""Three lists of lines, aligned: where all agree, where one side changed, where both did.

A side's change is taken when the other side left those lines alone. Changes that touch are a conflict, and so are
lines that one side moved while the other deleted or moved them: there a merge by place alone would bring back what
somebody took out.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

Lines = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """The same place in all three texts."""

    base: Lines
    ours: Lines
    theirs: Lines
    ambiguous: bool = False  # one side's change alone, which must not be taken unseen

    @property
    def agreed(self) -> Lines | None:
        """The lines that go into the result, or None for a conflict."""
        if self.ambiguous:
            return None
        if self.ours == self.theirs or self.theirs == self.base:
            return self.ours
        return self.theirs if self.ours == self.base else None


def regions(base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> list[Region]:
    """The whole of three texts in order, as regions."""
    found = list(_aligned(base, ours, theirs))
    counts = Counter(line.strip() for line in base)
    single = {line for line, count in counts.items() if line and count == 1}
    gone = _taken_out_twice(found) & single
    while True:
        disputed = _put_into_conflicts(found) & single
        seen = [replace(r, ambiguous=True) if _is_half(r, gone, disputed) else r for r in found]
        if seen == found:
            return found
        found = seen


def matches(old: Sequence[bytes], new: Sequence[bytes]) -> dict[int, int]:
    """Index in `old` → index in `new` of the lines that were kept."""
    # Blank lines are everywhere: they are kept beside a line that is, and never alone.
    matcher = difflib.SequenceMatcher(lambda line: not line.strip(), old, new, autojunk=False)
    return {a + i: b + i for a, b, size in matcher.get_matching_blocks() for i in range(size)}


def _aligned(base: Sequence[bytes], ours: Sequence[bytes], theirs: Sequence[bytes]) -> Iterator[Region]:
    to_ours, to_theirs = matches(base, ours), matches(base, theirs)
    z = a = b = 0
    for line in sorted(to_ours.keys() & to_theirs.keys()):
        at_ours, at_theirs = to_ours[line], to_theirs[line]
        if (line, at_ours, at_theirs) != (z, a, b):
            yield Region(tuple(base[z:line]), tuple(ours[a:at_ours]), tuple(theirs[b:at_theirs]))
        same = (base[line],)
        yield Region(same, same, same)
        z, a, b = line + 1, at_ours + 1, at_theirs + 1
    if (z, a, b) != (len(base), len(ours), len(theirs)):
        yield Region(tuple(base[z:]), tuple(ours[a:]), tuple(theirs[b:]))


def _taken_out_twice(found: Sequence[Region]) -> set[bytes]:
    """Lines that both sides took away from their place."""
    changed = (r for r in found if r.ours != r.base != r.theirs)
    return {line for r in changed for line in _plain(r.base) - _plain(r.ours) - _plain(r.theirs)}


def _put_into_conflicts(found: Sequence[Region]) -> set[bytes]:
    """Lines that a side put where the other made changes of its own."""
    disputed = (r for r in found if r.agreed is None)
    return {line for r in disputed for line in (_plain(r.ours) | _plain(r.theirs)) - _plain(r.base)}


def _is_half(region: Region, gone: set[bytes], disputed: set[bytes]) -> bool:
    """Whether one side alone changed this place, and it is half of a move whose other half is not so clear."""
    agreed = region.agreed
    if agreed is None or region.ours == region.theirs:
        return False
    before, now = _plain(region.base), _plain(agreed)
    return bool((now - before) & gone or (before - now) & disputed)


def _plain(lines: Iterable[bytes]) -> set[bytes]:
    """Lines without their indentation, which a move may change."""
    return {line.strip() for line in lines}
