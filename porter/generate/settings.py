"""What a person asked for that decides what is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..changes.decisions import Decision
from ..codemod import rulebook
from ..package.store import MadeWith

if TYPE_CHECKING:
    from ..package.manifest import OptionsRecord


@dataclass(frozen=True, slots=True)
class Settings:
    """Rule codes to select and ignore (prefixes count), extra folders of rules, place, what people decided, and where
    all that lay.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    install: bool = False
    sources: tuple[str, ...] = ()  # folders of upstream to port, the main one first; () to find it
    decisions: tuple[Decision, ...] = ()
    made_with: MadeWith = field(default_factory=MadeWith)

    def record(self) -> OptionsRecord:
        """These settings as port.json has them; the order in which they were typed does not matter."""
        record: OptionsRecord = {
            "select": sorted({code.upper() for code in self.select}),
            "ignore": sorted({code.upper() for code in self.ignore}),
            "install": self.install,
        }
        if self.sources:
            record["sources"] = list(self.sources)
        return record

    def rulebook_hash(self) -> str:
        """A hash of all rule files."""
        return rulebook.fingerprint([rulebook.default_folder(), *self.rules])
