"""The terminal: colours where it has them, plain text where it is a pipe."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 160  # a pipe has no width; long lines serve grep better than wrapped ones
NARROW = 84  # columns below which places and reasons go on lines of their own

STATUS_STYLES = {"fixed": "green", "waived": "yellow", "residual": "bold red"}


class _Console(Console):
    """A console that leaves a closed pipe to the command line, which ends quietly with its own status."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout_console() -> Console:
    """A console on stdout. Markup is off: upstream's text may hold brackets."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return _Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def plain_table(*headings: str, title: str | None = None) -> Table:
    """A table with one rule below its heading."""
    from rich import box

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(Text(heading))
    return table


def counts_line(counts: dict[str, int]) -> Text:
    """Hazards by status on one line."""
    line = Text("Hazards: ")
    for i, (status, count) in enumerate(counts.items()):
        line.append(", " if i else "")
        line.append(f"{count} {status}", style=STATUS_STYLES[status] if count else "")
    return line
