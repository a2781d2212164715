"""What goes to a pipe ends where its text ends; a terminal gets what rich makes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from porter.views.console import PlainTable, plain_table


def drawn(table: Table, terminal: bool) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=60, force_terminal=terminal, color_system=None).print(table)
    return stream.getvalue().splitlines()


def example(table: Table) -> Table:
    table.add_row("a", Text("long words"))
    table.add_row("longer", Text("b", style="red"))
    table.add_row("c", "")
    return table


def test_lines_of_a_table_in_a_pipe_end_with_their_text() -> None:
    lines = drawn(example(plain_table("one", "two", title="what")), terminal=False)
    assert lines == [line.rstrip() for line in lines]
    assert [line.split() for line in lines if "─" not in line] == [
        ["what"], ["one", "two"], ["a", "long", "words"], ["longer", "b"], ["c"]
    ]  # fmt: skip


@pytest.mark.parametrize("grid", [False, True])
def test_a_terminal_gets_the_same_words_and_a_width(grid: bool) -> None:
    tables = [example(PlainTable.grid("", "", padding=(0, 2)) if grid else plain_table("one", "two")) for _ in range(2)]
    shown, piped = drawn(tables[0], terminal=True), drawn(tables[1], terminal=False)
    assert [line.rstrip() for line in shown] == piped
    assert any(line != line.rstrip() for line in shown)
