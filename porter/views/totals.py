"""Rewrites by rule and by file, as two tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..changes.comparison import HAND
from ..changes.comparison.patch import notes_of
from ..changes.comparison.records import BY_HAND
from ..changes.comparison.totals import Total, by_file, by_rule, total_of
from ..codemod import rulebook
from ..codemod.imports import RuntimeImport
from .console import NARROW, plain_table, stdout_console
from .hunks import HAND_STYLE, left_out_words

if TYPE_CHECKING:
    from ..changes.comparison import Comparison

_FIGURES = ("Hunks", "Edits", "+", "-")


def print_totals(comparison: Comparison) -> None:
    """Print them on stdout."""
    console = stdout_console()
    titles = {RuntimeImport.code: RuntimeImport.title, HAND: BY_HAND}
    titles |= {rule.code: rule.title for rule in rulebook.load().rules}
    wide = console.width >= NARROW  # a column says what each rule does
    rules = _table("Rule", *["What it does"] * wide)
    for code, total in by_rule(comparison).items():
        style = HAND_STYLE if code == HAND else "cyan"
        rules.add_row(Text(code, style), *[Text(titles.get(code, ""))] * wide, *_cells(total))
    files = _table("File")
    for path, total in by_file(comparison).items():
        files.add_row(Text(path), *_cells(total))
    everything = _cells(total_of(change for _, change in comparison.changes))
    for table, blanks in ((rules, int(wide)), (files, 0)):
        table.add_section()
        table.add_row(Text("all"), *[Text("")] * blanks, *everything)
    console.print(rules)
    console.print()
    console.print(files)
    console.print()
    console.print(Text("A hunk that two rules share counts for both; the last row counts each once."))
    for note in notes_of(comparison):
        console.print(Text(note, style=HAND_STYLE), soft_wrap=True)
    if comparison.left_out:
        console.print(Text(left_out_words(comparison)), soft_wrap=True)


def _table(*headings: str) -> Table:
    table = plain_table(*headings, *_FIGURES)
    table.columns[0].no_wrap = len(headings) > 1
    for column in table.columns[-len(_FIGURES) :]:
        column.justify, column.no_wrap = "right", True
    return table


def _cells(total: Total) -> tuple[Text, ...]:
    return (
        Text(str(total.hunks)),
        Text(str(total.edits)),
        Text(str(total.added), style="green" if total.added else ""),
        Text(str(total.removed), style="red" if total.removed else ""),
    )
