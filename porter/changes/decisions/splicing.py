"""Lines in place of what the rules wrote: upstream's own, or a person's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ...syntax.loose_names import problem
from ...syntax.text import split_lines

if TYPE_CHECKING:
    from ..hunks import Hunk
    from .model import Decision


@dataclass(frozen=True)
class Splice:
    """A hunk whose new lines are not the rules'."""

    hunk: Hunk
    decision: Decision
    start: int  # of the rules' lines, from 0
    end: int

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """What stands there instead."""
        return lines_for(self.hunk, self.decision)


@dataclass(frozen=True)
class Spliced:
    """A file with some hunks decided; line numbers from 0."""

    old: tuple[str, ...]  # as the rules have it
    splices: tuple[Splice, ...]  # in order

    @cached_property
    def text(self) -> str:
        """The file."""
        return "".join(_spliced(self.old, self.splices))

    def moved(self, line: int) -> int:
        """Where a line of the rules' text is now; for one inside a splice, where that begins."""
        shift = 0
        for splice in self.splices:
            if splice.end <= line:
                shift += len(splice.lines) - (splice.end - splice.start)
            elif splice.start <= line:
                return splice.start + shift
        return line + shift

    def place(self, splice: Splice) -> tuple[int, int]:
        """Where the lines of a splice begin and end in `text`."""
        before = self.splices[: self.splices.index(splice)]
        start = splice.start + sum(len(s.lines) - (s.end - s.start) for s in before)
        return start, start + len(splice.lines)

    def trouble(self, upstream: str) -> tuple[str, tuple[Decision, ...]]:
        """Why the file cannot work, and the decisions to blame; "" and none where nothing is known against it."""
        before = (upstream, "".join(self.old))
        why = problem(before, self.text)
        if not why:
            return "", ()
        for splice in self.splices:
            alone = problem(before, "".join(_spliced(self.old, (splice,))))
            if alone:
                return alone, (splice.decision,)
        return why, tuple(splice.decision for splice in self.splices)


def splice_file(old: Sequence[str], hunks: Iterable[Hunk], decisions: Iterable[Decision]) -> Spliced:
    """The rules' text of a file, given without a header, with decisions about its hunks followed.

    The hunks' places are those in that text. Decisions about other hunks do nothing.
    """
    told = {decision.key: decision for decision in decisions if decision.what != "accept"}
    found = [
        Splice(hunk, told[hunk.key], hunk.target_line - 1, hunk.target_line - 1 + len(hunk.new))
        for hunk in hunks
        if hunk.key in told
    ]
    return Spliced(tuple(old), tuple(sorted(found, key=lambda splice: (splice.start, splice.end))))


def lines_for(hunk: Hunk, decision: Decision) -> tuple[str, ...]:
    """The lines that a decision puts at a hunk."""
    if decision.what == "reject":
        return hunk.old
    return hunk.new if decision.what == "accept" else _ended(split_lines(decision.text), hunk.new or hunk.old)


def _ended(lines: tuple[str, ...], around: tuple[str, ...]) -> tuple[str, ...]:
    """Lines that a person wrote, ending as those around do: the file's last line has no end, nor need the person's."""
    last = bool(around) and not around[-1].endswith("\n")
    if lines and not lines[-1].endswith("\n") and not last:
        lines = (*lines[:-1], f"{lines[-1]}\n")
    if any(line.endswith("\r\n") for line in around):
        lines = tuple(f"{line[:-1]}\r\n" if line.endswith("\n") else line for line in lines)
    return lines


def _spliced(old: Sequence[str], splices: Sequence[Splice]) -> list[str]:
    result = list(old)
    for splice in reversed(splices):
        result[splice.start : splice.end] = splice.lines
    return result
