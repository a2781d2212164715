"""Upstream against the package on a terminal: a heading for each file, and at each change who made it and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..changes.comparison import counts, rows_of
from ..changes.comparison.patch import notes_of
from ..changes.comparison.rows import CONTEXT, groups_of
from .console import stdout_console
from .diff import style_of
from .pager import ShellPager

if TYPE_CHECKING:
    from ..changes.comparison import Change, Comparison, FileChanges

HAND_STYLE = "magenta"
SAFETY_STYLES = {"exact": "green", "close": "yellow", "changed": "bold red"}


def print_changes(comparison: Comparison, *, pager: bool = False) -> None:
    """Print it on stdout, with `pager` through the one that $PAGER names."""
    console = stdout_console()
    if not pager:
        _print(console, comparison)
        return
    with console.pager(ShellPager(), styles=not console.no_color):
        _print(console, comparison)


def _print(console: Console, comparison: Comparison) -> None:
    shown = [file for file in comparison.files if file.changes]
    for number, file in enumerate(shown):
        if number:
            console.print()
        _print_file(console, file)
    notes = notes_of(comparison)
    if shown and notes:
        console.print()
    for note in notes:
        console.print(Text(note, style=HAND_STYLE), soft_wrap=True)
    if not shown:
        console.print(Text("No hunk to show."))
    if comparison.left_out:
        console.print()
        console.print(Text(left_out_words(comparison), style="dim"), soft_wrap=True)


def left_out_words(comparison: Comparison) -> str:
    """How many files no comparison shows."""
    count = comparison.left_out
    what = "file of the tool's own has" if count == 1 else "files of the tool's own have"
    return f"{count} {what} no counterpart upstream (runtime and import paths)"


def reasons_of(change: Change) -> Iterator[Text]:
    """Who made a change and why, a line each."""
    for rule, safety, reason in change.reasons:
        yield Text.assemble((rule, "cyan"), " ", (safety, SAFETY_STYLES.get(safety, "")), f"  {reason}")
    if change.people_words:
        yield Text(change.people_words, style=HAND_STYLE)


def _print_file(console: Console, file: FileChanges) -> None:
    added, removed = (sum(part) for part in zip(*map(counts, file.changes), strict=True))
    size = f"{len(file.changes)} hunk{'s' if len(file.changes) > 1 else ''}"
    heading = Text.assemble((f"{file.path} → {file.name}", "bold"), f"  {size} ")
    heading.append(f"+{added}", "green").append(" ").append(f"-{removed}", "red")
    console.print(heading, soft_wrap=True)
    for group in groups_of(file, file.changes):
        _print_group(console, file, group)


def _print_group(console: Console, file: FileChanges, group: Sequence[Change]) -> None:
    at = max(0, group[0].line - 1 - CONTEXT)
    scope = f" {group[0].scope}" if group[0].scope else ""
    console.print()
    console.print(Text.assemble((f"line {group[0].line}", "cyan"), (scope, "bold")), soft_wrap=True)
    for change in group:
        _print_context(console, file, at, change.line - 1)
        for reason in reasons_of(change):
            console.print(Text("▸ ").append_text(reason), soft_wrap=True)
        for mark, line in rows_of(change):
            text = file.new_text(line) if mark == "+" else file.old_text(line)
            console.print(Text(f"{mark}{text}", style=style_of(mark)), soft_wrap=True)
        at = change.line - 1 + len(change.old)
    _print_context(console, file, at, at + CONTEXT)


def _print_context(console: Console, file: FileChanges, start: int, end: int) -> None:
    for line in file.lines[start:end]:
        console.print(Text(f" {file.old_text(line)}"), soft_wrap=True)
