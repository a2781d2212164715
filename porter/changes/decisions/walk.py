"""Walking the hunks of a package: what is decided so far, what comes next, and what may not be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..hunks import Hunk, by_file, hunks_of, sides_of
from .model import Decision, What, decision, is_outdated
from .splicing import splice_file
from .undecided import undecided

if TYPE_CHECKING:
    from ...package.base import Base
    from ...package.manifest import Manifest

State = Literal["undecided", "outdated", "accepted", "rejected", "edited"]
TO_DO: tuple[State, ...] = ("undecided", "outdated")
_DONE: Mapping[What, State] = {"accept": "accepted", "reject": "rejected", "edit": "edited"}


def state_of(hunk: Hunk, told: Decision | None) -> State:
    """What became of a hunk; outdated where the rules' rewrite is another than the one that was looked at."""
    if told is None:
        return "undecided"
    return "outdated" if is_outdated(told, hunk) else _DONE[told.what]


class Walk:
    """The decisions about a package while they are made; hunks that nobody looked at come first."""

    def __init__(
        self, manifest: Manifest, base: Base, decisions: Sequence[Decision], wanted: Callable[[Hunk], bool]
    ) -> None:
        """Walk the hunks that are `wanted`."""
        told, texts = undecided(manifest, base)
        self._told = {d.key: d for d in decisions}
        self._sides = {sides.target: sides for sides in sides_of(told, texts)}
        self._files = by_file(hunks_of(told, texts))
        self.in_order = tuple(hunk for hunks in self._files.values() for hunk in hunks if wanted(hunk))
        self.hunks = sorted(self.in_order, key=lambda hunk: self.state(hunk) not in TO_DO)
        self.at = 0

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, those about other hunks and stale ones too."""
        return tuple(self._told.values())

    @property
    def stale(self) -> tuple[Decision, ...]:
        """Decisions whose code is gone from the package."""
        known = {hunk.key for hunks in self._files.values() for hunk in hunks}
        return tuple(d for d in self.decisions if d.key not in known)

    @property
    def hunk(self) -> Hunk | None:
        """The hunk to look at, or None behind the last."""
        return self.hunks[self.at] if self.at < len(self.hunks) else None

    @property
    def left(self) -> int:
        """How many hunks nobody looked at."""
        return sum(self.state(hunk) in TO_DO for hunk in self.hunks)

    def told(self, hunk: Hunk) -> Decision | None:
        """What was decided about a hunk."""
        return self._told.get(hunk.key)

    def state(self, hunk: Hunk) -> State:
        """What became of a hunk."""
        return state_of(hunk, self.told(hunk))

    def around(self, hunk: Hunk, context: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Lines of upstream before and behind a hunk, `context` of each at most."""
        old, start = self._sides[hunk.target].old, hunk.line - 1
        end = start + len(hunk.old)
        return old[max(0, start - context) : start], old[end : end + context]

    def alike(self, hunk: Hunk, by: Literal["rule", "file"]) -> list[Hunk]:
        """Hunks that nobody looked at, of the same rules as this one or of the same file; this one too."""
        return [
            other
            for other in self.hunks
            if self.state(other) in TO_DO
            and (other.rules == hunk.rules if by == "rule" else other.target == hunk.target)
        ]

    def find(self, text: str) -> int | None:
        """Where the next hunk after this one is that has a text in its path, scope, rules or lines; None if none has.

        Case does not matter.
        """
        wanted = text.lower()
        count = len(self.hunks)
        order = [(self.at + step) % count for step in range(1, count + 1)]
        return next((at for at in order if any(wanted in part.lower() for part in _texts(self.hunks[at]))), None)

    def decide(self, hunk: Hunk, what: What, *, reason: str = "", text: str = "") -> str:
        """Decide; why that may not be, or "" where it is done."""
        return self._set(hunk, decision(hunk, what, reason=reason, text=text))

    def undo(self, hunk: Hunk) -> str:
        """Take a decision back; why that may not be, or "" where it is done."""
        return self._set(hunk, None)

    def _set(self, hunk: Hunk, new: Decision | None) -> str:
        told = {key: d for key, d in self._told.items() if key != hunk.key}
        if new is not None:
            told[hunk.key] = new
        before = self._told.values()
        why = self._trouble(hunk, told.values()) if _acts(new) or _acts(self.told(hunk)) else ""
        if why and not self._trouble(hunk, before):
            return why
        self._told = told
        return ""

    def _trouble(self, hunk: Hunk, decisions: Iterable[Decision]) -> str:
        """Why the hunk's file cannot work with these decisions, or ""."""
        sides = self._sides[hunk.target]
        first, last = sides.header
        body = (*sides.new[:first], *sides.new[last:])
        inside = [
            replace(h, target_line=h.target_line - (last - first)) if h.target_line > last else h
            for h in self._files[hunk.target]
        ]
        return splice_file(body, inside, decisions).trouble("".join(sides.old))[0]


def _texts(hunk: Hunk) -> tuple[str, ...]:
    return (hunk.path, hunk.target, hunk.scope, *hunk.rules, *hunk.old, *hunk.new)


def _acts(told: Decision | None) -> bool:
    return told is not None and told.what != "accept"
