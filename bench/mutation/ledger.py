"""What became of each mutant, kept line by line, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

State = Literal["killed", "timeout", "survived", "not reached"]


@dataclass(frozen=True)
class Fate:
    """What became of one mutant."""

    key: str
    state: State
    judge: str  # hash of the judge that tried it
    case: str = ""  # the one that saw it
    figure: str = ""  # what it saw
    tried: int = 0  # cases run
    seconds: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether the judge saw it: one that does not end is seen as well."""
        return self.state in ("killed", "timeout")


class Ledger:
    """The fates of the mutants of one package on one device, in a file of JSON lines."""

    def __init__(self, path: Path, judge: str, trusting: bool) -> None:
        """`judge`: whose fates count; `trusting`: mutants that an older one saw count as seen."""
        self._path, self._judge, self._trusting = path, judge, trusting
        self._lock = Lock()
        self._fates: dict[str, Fate] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    def get(self, key: str) -> Fate | None:
        """What became of a mutant, None where nobody tried."""
        return self._fates.get(key)

    def add(self, fate: Fate) -> None:
        """Write down one more."""
        with self._lock:
            self._fates[fate.key] = fate
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(fate))}\n")

    def _take(self, line: str) -> None:
        try:
            fate = Fate(**json.loads(line))
        except (ValueError, TypeError):  # a line that was being written when the run was stopped
            return
        if fate.judge == self._judge or (self._trusting and fate.seen):
            self._fates[fate.key] = fate
