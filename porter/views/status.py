"""How a package stands to upstream, rules and tool of today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from .changes import print_changes, print_counts
from .console import stdout_console

if TYPE_CHECKING:
    from ..changes.status import Standing

_NAMES = 5  # most names of files in a row
_NEWS = 6  # most entries of the changelog


def print_standing(standing: Standing, upstream: str, *, quiet: bool = False, whole: bool = False) -> None:
    """Print it on stdout: whether generating would change anything, why, and what it would do.

    With `quiet` that is one line where it would, and nothing otherwise; with `whole` no list is cut.
    """
    console = stdout_console()
    place = standing.place.package_dir
    if standing.stale:
        head = Text(f"{place} is stale: generating it from {upstream} would change it", style="bold yellow")
    else:
        head = Text(f"{place} is up to date with {upstream}", style="bold green")
    if standing.stale or not quiet:
        console.print(head, soft_wrap=True)
    if quiet:
        for conflict in standing.marked:
            console.print(Text(f"{conflict.file}:{conflict.line}: {conflict.message}"), soft_wrap=True)
        return
    rows = _rows(standing, partial(_listed, most=None if whole else _NAMES))
    if rows:
        print_counts(console, rows)
    if standing.changes is not None:
        print_changes(console, standing.changes, whole=whole)
        if standing.changes.fact("rulebook"):
            console.print()
            console.print(Text("If the package was made with --rules, give status the same."))
    _print_news(console, standing, whole)


def _rows(standing: Standing, listed: Callable[[Sequence[str]], str]) -> list[tuple[str, str]]:
    """What people have done to the package, as label and words."""
    rows = []
    if standing.missing:
        rows.append(("Missing", f"{_count(standing.missing)} written again: {listed(standing.missing)}"))
    if standing.edited:
        rows.append(("By hand", f"{_count(standing.edited)} edited: {listed(standing.edited)}"))
    if standing.marked:
        marked = [f"{conflict.file}:{conflict.line}" for conflict in standing.marked]
        rows.append(("Conflict", f"of an earlier merge, still marked: {listed(marked)}"))
    if standing.lost:
        places = [f"{decision['file']}:{decision['line']}" for decision in standing.lost]
        count = f"{len(places)} stale decision{'' if len(places) == 1 else 's'}"
        rows.append(("Decided", f"{count}, about code that is another now: {listed(places)}"))
    return rows


def _print_news(console: Console, standing: Standing, whole: bool) -> None:
    news = standing.news
    if not news:
        return
    console.print()
    console.print(Text(f"New in sovits-port since {standing.manifest['version']}, which made the package:"))
    most = None if whole else _NEWS
    for entry in news[:most]:
        console.print(Text(f"  - {entry}"), soft_wrap=not console.is_terminal)
    if news[most or len(news) :]:
        console.print(Text(f"  and {len(news) - len(news[:most])} more (-v lists them)"))


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} file{'' if len(names) == 1 else 's'}"


def _listed(names: Sequence[str], most: int | None) -> str:
    left = len(names) - len(names[:most])
    return ", ".join(names[:most]) + (f" and {left} more" if left else "")
