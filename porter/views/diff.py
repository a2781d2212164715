"""A unified diff on stdout, coloured on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click


def print_diff(lines: Iterable[str]) -> None:
    """Print lines that end themselves: byte for byte into a pipe, shown on a terminal."""
    lines = list(lines)
    if not sys.stdout.isatty():
        click.echo("".join(lines).encode("utf-8", "surrogateescape"), nl=False)
        return
    from rich.text import Text

    from .console import stdout_console

    console = stdout_console()
    for line in lines:
        console.print(Text(line.rstrip("\r\n"), style=style_of(line)), soft_wrap=True)


def style_of(line: str) -> str:
    """The style of one line of a diff."""
    if line.startswith(("--- ", "+++ ")):
        return "bold"
    return {"@": "cyan", "+": "green", "-": "red"}.get(line[:1], "")
