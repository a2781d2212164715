"""Which case runs, how many are done: a bar on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..validate.outcome import VERDICTS, CaseOutcome
from ..validate.wording import row
from ..views.console import stderr_console
from .output import is_quiet, report

_GOOD = ("pass", "not in this upstream")


class CaseProgress(AbstractContextManager["CaseProgress"]):
    """Told what each case does; knows a case's end by its verdict."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        """`total` cases, and what inspection finds besides; the console is stderr, where not given."""
        self._total = total
        self._done = 0
        self._bar: Progress | None = None
        self._console = console or stderr_console()
        if self._console.is_terminal and not is_quiet():
            self._bar = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=min(20, self._console.width // 5)),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("reading upstream", total=total)

    def __call__(self, case: str, state: str) -> None:
        """`state` is what the case does now, or its verdict."""
        ended = state in VERDICTS
        if self._bar is None:
            report(f"[{self._done + 1}/{max(self._total, self._done + 1)}] {case}: {state}")
        elif not ended:
            self._bar.update(self._task, description=escape(f"{case}: {state}"))
        elif state not in _GOOD:
            self._bar.console.print(f"{case}: {state}", style="red", markup=False, highlight=False, soft_wrap=True)
        self._done += ended
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def ended(self, outcome: CaseOutcome) -> None:
        """A row for a case that ended: verdict, least ratios, seconds. Its verdict need not be told as well."""
        self._done += 1
        words = row(outcome)
        if self._bar is None:
            report(f"[{self._done}/{max(self._total, self._done)}] {words}")
            return
        style = "" if outcome.verdict == "pass" else "dim" if outcome.passed else "red"
        self._bar.console.print(words, style=style, markup=False, highlight=False, soft_wrap=True)
        self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> CaseProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        sys.stderr.flush()
