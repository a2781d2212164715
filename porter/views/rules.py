"""The rule book as a table, and one rule in full."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..generate.difference import unified
from ..rulebook import FAMILIES
from .console import plain_table, stdout_console
from .diff import style_of

if TYPE_CHECKING:
    from ..rule import Rule

_SAFETY = {
    "exact": "bit-identical on the CPU",
    "close": "same mathematics, rounding or padding differs",
    "changed": "a documented change of behaviour; off unless selected",
}


def print_book(rules: Sequence[type[Rule]]) -> None:
    """Print all rules as a table."""
    table = plain_table("Rule", "What it does", "Safety", "Family")
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    for rule in rules:
        table.add_row(Text(rule.code, style="cyan"), Text(rule.title), Text(rule.safety.value), Text(family(rule)))
    stdout_console().print(table)


def print_rule(rule: type[Rule]) -> None:
    """Print one rule: why, what it says, examples as diffs, what it leaves alone, how to keep it off."""
    console = stdout_console()
    console.print(Text.assemble((rule.code, "bold cyan"), (f"  {rule.title}", "bold")))
    console.print(Text(f"{family(rule)} · {rule.safety.value}: {_SAFETY[rule.safety.value]}"))
    console.print()
    for paragraph in documentation(rule).split("\n\n"):
        # A paragraph is filled anew to the terminal's width; a list keeps its lines.
        listed = any(line.startswith((" ", "-", "*", "|")) for line in paragraph.split("\n"))
        console.print(Text(paragraph if listed else " ".join(paragraph.split()) + "\n"))
    console.print(Text(f"Reason given for an edit: {rule.message}."))
    for number, example in enumerate(rule.examples, 1):
        console.print()
        console.print(Text(f"Example {number}", style="bold"))
        _print_code(console, [line.rstrip("\n") for line in example_diff(example.before, example.after)])
    for number, source in enumerate(rule.untouched, 1):
        console.print()
        console.print(Text(f"Left alone {number}", style="bold"))
        _print_code(console, [f" {line}" for line in source.rstrip("\n").split("\n")])
    console.print()
    console.print(Text(f"To keep it off one line of upstream, write there: # port: ignore[{rule.code}]"))
    console.print(Text(f"To keep it off everywhere: --ignore {rule.code}"))


def documentation(rule: type[Rule]) -> str:
    """A rule's own words on why it is there."""
    return inspect.cleandoc(rule.__doc__ or "")


def family(rule: type[Rule]) -> str:
    """The words for a rule's family."""
    return FAMILIES.get(rule.code.rstrip("0123456789"), "other")


def example_diff(before: str, after: str) -> list[str]:
    """Before and after as a diff with all their lines, without a heading."""
    lines = list(unified(before, after, "before", "after", context=before.count("\n") + 1))
    return [line for line in lines[2:] if not line.startswith("@@")]


def _print_code(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(f"  {line}".rstrip(), style=style_of(line)), soft_wrap=True)
