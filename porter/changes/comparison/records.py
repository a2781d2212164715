"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...generate.merging import Conflict
    from ...package.manifest import DecisionRecord, EditRecord, Manifest

HAND = "HAND"  # stands for a rule's code: lines changed by hand
BY_HAND = "edited by hand"
ENDS = "edited by hand: only how lines end"
UNDONE = "undone by hand: upstream's lines stand here again"
_SAFETIES = ("exact", "close", "changed")  # from the safest


@dataclass(frozen=True, slots=True)
class Change:
    """Lines of upstream and what stands for them on disk: bytes with their ends. Line numbers count from 1."""

    line: int  # of the first of `old`; where `old` is empty, of the line that follows
    old: tuple[bytes, ...]
    target_line: int
    new: tuple[bytes, ...]
    edits: tuple[EditRecord, ...]  # none where only a person was at work
    by_hand: bool
    scope: str  # qualified name of the class or function around, "" for the module
    key: str  # as in `porter.changes.hunks`; of the first hunk where lines changed by hand join several
    decision: DecisionRecord | None = None  # what a person decided about it

    @property
    def stands(self) -> bool:
        """Whether what stands there is the rules' own, and not lines that a person wrote or kept."""
        return self.decision is None or self.decision["what"] == "accept"

    @property
    def rules(self) -> tuple[str, ...]:
        """Codes of the rules at work, sorted."""
        return tuple(sorted({edit["rule"] for edit in self.edits}))

    @property
    def makers(self) -> tuple[str, ...]:
        """Codes of the rules at work, and the one that stands for people if one was."""
        return (*self.rules, HAND) if self.by_hand else self.rules

    @property
    def safety(self) -> str | None:
        """The least safe of its edits, or None where there are none, or where a person wrote the lines."""
        return (
            None if not self.stands else max((edit["safety"] for edit in self.edits), key=_SAFETIES.index, default=None)
        )

    @property
    def reasons(self) -> tuple[tuple[str, str, str], ...]:
        """Rule, safety and reason of each edit, each once, in order of line; none where a person wrote the lines."""
        return (
            ()
            if not self.stands
            else tuple(dict.fromkeys((e["rule"], e["safety"], " ".join(e["reason"].split())) for e in self.edits))
        )

    @property
    def people_words(self) -> str:
        """What a person did or decided, or ""."""
        told = self.decision
        if told is not None and told["what"] != "accept":
            return self._decided_words(told)
        if not self.by_hand:
            return "" if told is None else "accepted by a person"
        if self.old == self.new:
            return UNDONE
        same = [line.rstrip(b"\r\n") for line in self.old] == [line.rstrip(b"\r\n") for line in self.new]
        return ENDS if same else BY_HAND

    def _decided_words(self, told: DecisionRecord) -> str:
        """What a person decided who did not accept."""
        of_rules = f"what {' and '.join(self.rules)} {'write' if len(self.rules) > 1 else 'writes'}"
        why = f": {told['reason']}" if told["reason"] else ""
        if told["what"] == "edit":
            return f"{BY_HAND}, in place of {of_rules}{why}"
        return f"rejected by a person, so that upstream's lines stand and not {of_rules}{why}"


@dataclass(frozen=True, slots=True)
class FileChanges:
    """A file of upstream and its changes, in order."""

    path: str  # upstream
    name: str  # beside port.json, such as module/tpu/models.py
    target: str  # inside the package, as edits name it
    lines: tuple[bytes, ...]  # upstream's
    encoding: str  # of upstream's lines
    target_encoding: str  # of the lines on disk
    changes: tuple[Change, ...]
    numbers: tuple[int, ...]  # for each of `lines` the same line on disk, 0 where it is in a change

    def old_text(self, line: bytes) -> str:
        """A line of upstream without its end, for people."""
        return _text(line, self.encoding)

    def new_text(self, line: bytes) -> str:
        """A line on disk without its end, for people."""
        return _text(line, self.target_encoding)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A whole package against upstream. Names of files are places beside port.json, sorted."""

    manifest: Manifest
    files: tuple[FileChanges, ...]  # all that have both sides, changed or not, in order of path
    added: tuple[str, ...]  # only on disk: a person put them there
    removed: tuple[tuple[str, str], ...]  # upstream's path and name of files that a person deleted
    edited_alone: tuple[str, ...]  # changed or deleted by hand, without a counterpart upstream
    left_out: int  # files of the tool's own, without a counterpart upstream
    marked: tuple[Conflict, ...] = ()  # conflicts of an earlier merge that nobody has solved

    @property
    def changes(self) -> list[tuple[FileChanges, Change]]:
        """All changes with their files."""
        return [(file, change) for file in self.files for change in file.changes]


def _text(line: bytes, encoding: str) -> str:
    text = line.decode(encoding, "replace").rstrip("\r\n").removeprefix("\ufeff")
    # What a terminal or a browser would obey is shown instead.
    return "".join(c if c.isprintable() or c == "\t" or (c.isspace() and c not in _BREAKS) else _shown(c) for c in text)


_BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def _shown(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"
