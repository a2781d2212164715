"""What became of hand edits: files that were kept, and conflicts that a person has to solve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from .console import plain_table, stdout_console

if TYPE_CHECKING:
    from ..generate import GenerateOutcome

_SHOWN = 20  # names on a screen


def print_handwork(outcome: GenerateOutcome, *, whole: bool = False) -> None:
    """Print it on stdout, with `whole` uncut; nothing where nobody edited anything."""
    console = stdout_console()
    most = None if whole else _SHOWN
    _print_names(console, "Edited by hand, and kept", outcome.edited, most)
    _print_names(console, "Added by hand, and kept", outcome.added, most)
    _print_names(console, "Deleted by hand, and written again", outcome.restored, most)
    print_conflicts(outcome)


def print_conflicts(outcome: GenerateOutcome) -> None:
    """Print on stdout what a person has to solve; nothing where that is nothing."""
    if not outcome.conflicts:
        return
    console = stdout_console()
    console.print(Text(f"Conflicts ({len(outcome.conflicts)})", style="bold red"))
    table = plain_table("Place", "What to solve")
    table.columns[0].no_wrap = True
    for conflict in outcome.conflicts:
        place = f"{outcome.place.root / conflict.file}:{conflict.line}"
        table.add_row(Text(place, style="cyan"), Text(conflict.message))
    console.print(table)


def _print_names(console: Console, heading: str, names: Sequence[str], most: int | None) -> None:
    if not names:
        return
    left = len(names) - len(names[:most])
    more = f" and {left} more" if left else ""
    line = Text(f"{heading}: ", style="yellow").append(f"{', '.join(names[:most])}{more}", style="default")
    console.print(line, soft_wrap=True)
