"""The terminal: colours where it has them, plain text where it is a pipe."""

from __future__ import annotations

import os
import sys

from rich import box
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from .visible import visible

_PIPE_WIDTH = 160  # a pipe has no width; long lines serve grep better than wrapped ones
NARROW = 84  # columns below which places and reasons go on lines of their own

STATUS_STYLES = {"fixed": "green", "waived": "yellow", "residual": "bold red", "not ported": "bold red"}


class _Shown:
    """What another thing looks like, with nothing in it that steers the terminal but rich's own styles."""

    def __init__(self, what: RenderableType) -> None:
        self._what = what

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in console.render(self._what, options):
            yield part if part.control else part._replace(text=visible(part.text))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._what)


class _ShowAll(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [one if isinstance(one, Control) else _Shown(one) for one in renderables]


class _Console(Console):
    """A console that leaves a closed pipe to the command line, which ends quietly with its own status."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout_console() -> Console:
    """A console on stdout."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return _safe(_Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False))


def screen_console() -> Console:
    """A console on the terminal, for what fills its screen."""
    return _safe(Console(markup=False, highlight=False, emoji=False))


def stderr_console() -> Console:
    """A console on stderr, for what is being done."""
    return _safe(Console(stderr=True))


def _safe(console: Console) -> Console:
    """The console, which shows what upstream's text holds and does not do it. Markup has to be off where such text
    is printed: it may hold brackets.
    """
    console.push_render_hook(_ShowAll())
    return console


class PlainTable(Table):
    """A table whose lines end with their text where they go to a pipe: nothing is padded for nobody to see."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = super().__rich_console__(console, options)
        if console.is_terminal:
            yield from drawn
            return
        for line in Segment.split_lines(part for part in drawn if isinstance(part, Segment)):
            while line and not line[-1].text.strip(" "):
                line.pop()
            if line:
                line[-1] = line[-1]._replace(text=line[-1].text.rstrip(" "))
            yield from line
            yield Segment.line()


def plain_table(*headings: str, title: str | None = None) -> Table:
    """A table with one rule below its heading."""
    table = PlainTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
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
