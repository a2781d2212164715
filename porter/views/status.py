"""How a package stands to upstream, rules and tool of today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from .changes import print_changes, print_counts
from .console import stdout_console

if TYPE_CHECKING:
    from ..status import Standing

_NAMES = 5  # most names of files in a row


def print_standing(standing: Standing, upstream: str) -> None:
    """Print it on stdout: whether generating would change anything, why, and what it would do."""
    console = stdout_console()
    place = standing.place.package_dir
    if standing.stale:
        head = Text(f"{place} is stale: generating it from {upstream} would change it", style="bold yellow")
    else:
        head = Text(f"{place} is up to date with {upstream}", style="bold green")
    console.print(head, soft_wrap=True)
    rows = []
    if standing.missing:
        rows.append(("Missing", f"{_count(standing.missing)} written again: {_listed(standing.missing)}"))
    if standing.edited:
        rows.append(("By hand", f"{_count(standing.edited)} edited: {_listed(standing.edited)}"))
    if standing.marked:
        marked = [f"{conflict.file}:{conflict.line}" for conflict in standing.marked]
        rows.append(("Conflict", f"of an earlier merge, still marked: {_listed(marked)}"))
    if standing.lost:
        places = [f"{decision['file']}:{decision['line']}" for decision in standing.lost]
        count = f"{len(places)} stale decision{'' if len(places) == 1 else 's'}"
        rows.append(("Decided", f"{count}, about code that is another now: {_listed(places)}"))
    if rows:
        print_counts(console, rows)
    if standing.changes is not None:
        print_changes(console, standing.changes)
        if standing.changes.fact("rulebook"):
            console.print()
            console.print(Text("If the package was made with --rules, give status the same."))


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
