"""What became of each mutant, kept line by line, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

from bench.mutation.digests import case_digest, cases_digest

State = Literal["killed", "timeout", "survived", "not reached"]


@dataclass(frozen=True)
class Fate:
    """What became of one mutant."""

    key: str
    state: State
    judge: str  # hash of the case that saw it, or of those that did not
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

    def __init__(self, path: Path, trusting: bool) -> None:
        """`trusting`: mutants that a case saw before it changed count as seen."""
        self._path, self._trusting = path, trusting
        self._lock = Lock()
        self._fates: dict[str, Fate] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    def get(self, key: str, names: Sequence[str]) -> Fate | None:
        """What became of a mutant that the cases `names` reach; None where nobody tried, or cases changed since."""
        fate = self._fates.get(key)
        if fate is None or (self._trusting and fate.seen):
            return fate
        if fate.seen:
            return fate if fate.case in names and fate.judge == case_digest(fate.case) else None
        return fate if fate.judge == cases_digest(names) else None

    def add(self, fate: Fate) -> None:
        """Write down one more."""
        with self._lock:
            self._fates[fate.key] = fate
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(asdict(fate))}\n")

    def _take(self, line: str) -> None:
        with suppress(ValueError, TypeError):  # a line that was being written when the run was stopped
            fate = Fate(**json.loads(line))
            self._fates[fate.key] = fate
