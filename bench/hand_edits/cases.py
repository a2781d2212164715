"""A made-up file, edited at random on two sides, with a record of every edit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

_OWN = re.compile(r"\b(?:base|hand|upstream|header)\w*__\d+")
_COMMON = ("", "", "    def forward(self, x):", "        return x", "        )", "        x = x + 1")


@dataclass
class Text:
    """Lines; some are the only ones of their kind in all texts of a case, and are named by what they say."""

    lines: list[str]
    moved: set[str] = field(default_factory=set)
    added: Counter[str] = field(default_factory=Counter)  # every line put in or taken out, moved ones on both sides
    removed: Counter[str] = field(default_factory=Counter)
    end: str = "\n"
    ended: bool = True  # with a line end behind the last line
    mark: bytes = b""  # a byte order mark

    @property
    def content(self) -> bytes:
        """The file."""
        text = self.end.join(self.lines) + (self.end if self.ended and self.lines else "")
        return self.mark + text.encode()

    def copy(self) -> Text:
        """The same lines, with nothing recorded."""
        return Text(list(self.lines), end=self.end, ended=self.ended, mark=self.mark)


@dataclass(frozen=True)
class Case:
    """A file as it was generated, as it was edited, and as it is generated now."""

    base: Text
    ours: Text
    theirs: Text
    header: int  # lines at the top that differ between base and theirs, whatever anybody edits


def is_own(line: str) -> bool:
    """Whether a line is the only one of its kind."""
    return _OWN.search(line) is not None


def _line(chance: Random, name: str, number: int) -> str:
    if chance.random() < 0.4:
        return chance.choice(_COMMON)
    return f"{' ' * chance.choice((0, 4, 8))}{name}__{number} = 1"


def make(chance: Random) -> Case:
    """A case; the same for the same state of `chance`."""
    base = Text([_line(chance, "base", number) for number in range(chance.choice((0, 1, 3, 10, 40, 120)))])
    if base.lines:
        base.ended = chance.random() < 0.8
    header = chance.choice((0, 0, 3))
    top = [f"# header__{number}" for number in range(header)]
    base.lines[:0] = top
    ours, theirs = base.copy(), base.copy()
    theirs.lines[:header] = [f"{line}__now" if number == 1 else line for number, line in enumerate(top)]
    places = [chance.random() for _ in range(3)]  # edits flock together, or hardly any would meet
    for side, name in ((ours, "hand"), (theirs, "upstream")):
        for number in range(chance.choice((1, 1, 2, 3, 6))):
            # Generated headers are edited by hand alone.
            edit(chance, side, f"{name}_{number}", chance.choice(places), 0 if side is ours else header)
        if chance.random() < 0.1:
            side.end = "\r\n"
        if chance.random() < 0.1:
            side.ended = not side.ended
        if chance.random() < 0.05:
            side.mark = b"\xef\xbb\xbf"
    return Case(base, ours, theirs, header)


def edit(
    chance: Random, text: Text, name: str, place: float, first: int = 0, line: Callable[[Random, str, int], str] = _line
) -> None:
    """One edit near `place`, a share of the text, behind its first lines; `line` makes up new ones."""
    lines = text.lines
    at = min(len(lines), max(first, round(place * len(lines)) + chance.randint(-2, 2)))
    some = chance.choice((1, 1, 2, 4, 8))
    fresh = [line(chance, name, number) for number in range(some)]
    kind = chance.choice(("insert", "delete", "change", "move"))
    if kind != "insert":
        old = lines[at : at + some]
        del lines[at : at + some]
        text.removed.update(old)
        if kind == "delete":
            return
        fresh = [line(chance, name, number) for number, _ in enumerate(old)]
        if kind == "move":
            fresh = old
            text.moved.update(old)
            at = chance.randint(min(first, len(lines)), len(lines))
    lines[at:at] = fresh
    text.added.update(fresh)
