"""What became of hand edits: files that were kept, and conflicts that a person has to solve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from .console import plain_table, stdout_console

if TYPE_CHECKING:
    from ..generate import Outcome

_SHOWN = 20  # names on a screen


def print_handwork(outcome: Outcome) -> None:
    """Print it on stdout; nothing where nobody edited anything."""
    console = stdout_console()
    _print_names(console, "Edited by hand, and kept", outcome.edited)
    _print_names(console, "Added by hand, and kept", outcome.added)
    _print_names(console, "Deleted by hand, and written again", outcome.restored)
    if not outcome.conflicts:
        return
    console.print(Text(f"Conflicts ({len(outcome.conflicts)})", style="bold red"))
    table = plain_table("Place", "What to solve")
    table.columns[0].no_wrap = True
    for conflict in outcome.conflicts:
        place = f"{outcome.place.root / conflict.file}:{conflict.line}"
        table.add_row(Text(place, style="cyan"), Text(conflict.message))
    console.print(table)


def _print_names(console: Console, heading: str, names: Sequence[str]) -> None:
    if not names:
        return
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    line = Text(f"{heading}: ", style="yellow").append(f"{', '.join(names[:_SHOWN])}{more}", style="default")
    console.print(line, soft_wrap=True)
