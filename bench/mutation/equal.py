"""Mutants that change nothing, with the reason: `equal.toml` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.mutation.change import Mutant

_FILE = Path(__file__).parent / "equal.toml"


@dataclass(frozen=True)
class Note:
    """Changes that are proven to change nothing."""

    file: str  # relative to the package
    reason: str
    inside: str = "*"  # qualified name of the function or class, a pattern
    operator: str = "*"
    old: str = "*"  # the code before and after, each on one line: patterns
    new: str = "*"
    line: str = "*"  # the whole line before the change, a pattern

    def covers(self, mutant: Mutant) -> bool:
        """Whether the note is about a mutant."""
        pairs = (
            (mutant.file, self.file),
            (mutant.inside, self.inside),
            (mutant.operator, self.operator),
            (" ".join(mutant.old.split()), self.old),
            (" ".join(mutant.new.split()), self.new),
            (mutant.written, self.line),
        )
        return all(fnmatchcase(text, pattern) for text, pattern in pairs)


def read_notes(path: Path = _FILE) -> list[Note]:
    """All notes; TypeError for one without a file or a reason."""
    return [Note(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("equal", [])]
