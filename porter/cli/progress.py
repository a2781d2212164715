"""What is being done, shown on a terminal's stderr once a command has taken a while."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

from ..views.visible import visible
from .output import shows_progress

if TYPE_CHECKING:
    from rich.status import Status

_PATIENCE = 2.0  # seconds


class Progress:
    """A spinner with the current step; silent where stderr is no terminal or the command is quick."""

    def __init__(self) -> None:
        """Nothing is shown before the block that this object manages has run for a while."""
        self._text = "working"
        self._status: Status | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(_PATIENCE, self._show)
        self._timer.daemon = True

    def step(self, text: str) -> None:
        """Say what is being done now."""
        with self._lock:
            self._text = text = visible(text)
            if self._status is not None:
                self._status.update(f"{text} …")

    def __enter__(self) -> Progress:
        if shows_progress():
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            if self._status is not None:
                self._status.stop()

    def _show(self) -> None:
        from rich.status import Status

        from ..views.console import stderr_console

        with self._lock:
            if self._timer.finished.is_set():
                return
            self._status = Status(f"{self._text} …", console=stderr_console())
            self._status.start()
