"""From a line of the emitted package back to the rule that made it and the line of upstream it came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from porter.validate.manifest import Edit


@dataclass(frozen=True)
class Origin:
    """Where a line of the emitted package comes from."""

    target: str  # file:line, relative to module/tpu
    upstream: str  # file:line, "" when the line is not upstream's and no rule claims it
    rule: str  # code, "" for a line that no rule touched
    reason: str

    def __str__(self) -> str:
        if self.rule:
            return f"{self.target} ({self.rule} of {self.upstream}: {self.reason})"
        return f"{self.target} ({self.upstream}, no rule)" if self.upstream else self.target


class SourceMap:
    """Looks lines up in the recorded edits; lines between them are found by comparing both files."""

    def __init__(
        self,
        edits: Iterable[Edit],
        upstream_text: Callable[[str], str] = lambda path: "",
        target_text: Callable[[str], str] = lambda path: "",
        paths: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`paths` pairs files of the package with upstream's; the texts are read when a line needs them."""
        self._edits: dict[str, list[Edit]] = defaultdict(list)
        for edit in edits:
            self._edits[edit.target].append(edit)
        self._source = dict(paths) | {target: found[0].file for target, found in self._edits.items()}
        self._upstream_text = upstream_text
        self._target_text = target_text
        self._lines: dict[str, dict[int, int]] = {}

    def locate(self, target: str, line: int) -> Origin:
        """The origin of a line; the smallest edit around it wins."""
        here = f"{target}:{line}"
        around = [e for e in self._edits.get(target, ()) if e.target_line <= line <= e.target_end_line]
        if around:
            edit = min(around, key=lambda e: e.target_end_line - e.target_line)
            return Origin(here, f"{edit.file}:{edit.line}", edit.rule, edit.reason)
        source = self._source.get(target, "")
        upstream = self._unchanged(target, source).get(line) if source else None
        return Origin(here, f"{source}:{upstream}" if upstream else "", "", "")

    def locate_text(self, where: str) -> Origin:
        """The origin of "file:line"; any other text comes back as it is."""
        target, _, line = where.rpartition(":")
        return self.locate(target, int(line)) if target and line.isdigit() else Origin(where, "", "", "")

    def within(self, target: str, first: int, last: int) -> list[Edit]:
        """All edits that touch these lines, in order."""
        return [e for e in self._edits.get(target, ()) if e.target_line <= last and e.target_end_line >= first]

    def _unchanged(self, target: str, source: str) -> dict[int, int]:
        """Line of the target → line of upstream, for the lines that are the same in both."""
        if target not in self._lines:
            old = self._upstream_text(source).splitlines()
            new = self._target_text(target).splitlines()
            blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
            self._lines[target] = {
                block.b + offset + 1: block.a + offset + 1 for block in blocks for offset in range(block.size)
            }
        return self._lines[target]
