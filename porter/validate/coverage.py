"""Which functions of a package a case really ran."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import CodeType, FrameType, TracebackType


class Coverage(AbstractContextManager["Coverage"]):
    """Notes every Python function that is called during the block, in this thread and in new ones."""

    def __init__(self, roots: Sequence[str]) -> None:
        """`roots` are the folders whose files count."""
        self._roots = tuple(f"{root}/" for root in roots)
        self._seen: set[CodeType] = set()

    def __enter__(self) -> Coverage:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self._seen.add(frame.f_code)

    def names(self) -> tuple[str, ...]:
        """`FILE:QUALIFIED NAME` of each, sorted."""
        found = set()
        for code in self._seen:
            for root in self._roots:
                if code.co_filename.startswith(root):
                    file = Path(code.co_filename.removeprefix(root)).as_posix()
                    found.add(f"{file}:{code.co_qualname.replace('.<locals>', '')}")
        return tuple(sorted(found))
