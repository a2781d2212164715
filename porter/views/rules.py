"""The rule book as a table, and one rule in full."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..codemod.imports import RuntimeImport
from ..codemod.rulebook import FAMILIES
from ..generate.difference import unified
from .console import plain_table, stdout_console
from .diff import style_of
from .families import ABOUT

if TYPE_CHECKING:
    from ..codemod.examples.texts import Result
    from ..hazards.named import Named
    from ..rule import Rule

_READABLE = 100  # columns of a line of prose at most
_INDENT = "  "
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


def print_family(code: str, rules: Sequence[type[Rule]]) -> None:
    """Print what a family is about, and its rules as a table. `code` is the family's, or how some codes begin."""
    console = stdout_console()
    if code in FAMILIES:
        console.print(Text.assemble((code, "bold cyan"), (f"  {FAMILIES[code]}", "bold")))
        _print_words(console, ABOUT[code])
        console.print()
    print_book(rules)


def print_rule(rule: type[Rule]) -> None:
    """Print one rule: why, what it may change, examples as diffs, what it leaves alone, how to keep it off."""
    console = stdout_console()
    console.print(Text.assemble((rule.code, "bold cyan"), (f"  {rule.title}", "bold")))
    console.print(Text(f"{family(rule)} · from {source_file(rule)}"))
    _print_heading(console, "Why")
    for number, paragraph in enumerate(documentation(rule).split("\n\n")):
        if number:
            console.print()
        _print_words(console, paragraph)
    _print_heading(console, "Reason told at each edit")
    _print_words(console, rule.message)
    _print_heading(console, f"Safety: {rule.safety.value}")
    _print_words(console, safety(rule))
    for number, example in enumerate(rule.examples, 1):
        _print_heading(console, "Example" if len(rule.examples) == 1 else f"Example {number}")
        _print_code(console, [line.rstrip("\n") for line in example_diff(example.before, example.after)])
    if rule.untouched:
        _print_untouched(console, rule.untouched)
    _print_heading(console, "To keep it off")
    for line in suppression(rule):
        _print_words(console, line)


def _print_untouched(console: Console, sources: Sequence[str]) -> None:
    _print_heading(console, "Code that looks alike and is left alone")
    for number, source in enumerate(sources):
        if number:
            console.print(Text("  ⋮", style="dim"))
        _print_code(console, [f" {line}" for line in source.rstrip("\n").split("\n")])


def print_named(found: Named) -> None:
    """Print what is known of a name: what it lacks on XLA, and the rules that deal with it, each with an example."""
    console = stdout_console()
    console.print(Text(found.name, style="bold cyan"))
    for code, reason in found.hazards:
        _print_words(console, f"{code}  {reason}")
    if not found.hazards:
        _print_words(console, "No hazard is known of it.")
    if not found.uses:
        console.print()
        console.print(Text("No rule's example changes it; check lists it where it is a hazard."))
    for use in found.uses:
        _print_heading(console, f"{use.rule.code}  {use.rule.title} ({use.rule.safety.value})")
        _print_code(console, [f"-{use.before}", f"+{use.after}"])


def print_trial(results: Sequence[Result], *, executed: bool, quiet: bool = False) -> None:
    """Print what failed, and how many checks of each kind passed; with `quiet` only what failed."""
    console = stdout_console()
    for result in results:
        if not result.passed:
            console.print(
                Text.assemble((result.rule, "cyan"), f" {result.text}: ", (result.check, "red"), f": {result.why}")
            )
    if quiet:
        return
    table = plain_table("Check", "Passed", "Failed")
    for check in dict.fromkeys(result.check for result in results):
        passed = [result.passed for result in results if result.check == check]
        table.add_row(check, str(sum(passed)), str(len(passed) - sum(passed)))
    console.print(table)
    if not executed:
        console.print(Text("Nothing was executed: torch is not installed here."))


def safety(rule: type[Rule]) -> str:
    """What a rule may do to a result, in words."""
    return _SAFETY[rule.safety.value]


def source_file(rule: type[Rule]) -> str:
    """The file that a rule is in, with its folder's name."""
    path = Path(inspect.getfile(rule))
    return f"{path.parent.name}/{path.name}"


def can_be_kept_off(rule: type[Rule]) -> bool:
    """Whether a rule acts by itself; the engine's own come along with the edits of others."""
    return rule is not RuntimeImport


def suppression(rule: type[Rule]) -> list[str]:
    """How to keep a rule off, a sentence a way."""
    if not can_be_kept_off(rule):
        return ["It comes along with the edits that need it, and cannot be kept off by itself."]
    line = f"On one line of upstream: write there # port: ignore[{rule.code}]"
    if rule.safety.value == "changed":
        return [line, f"Everywhere: it is off unless selected, with --select {rule.code}"]
    return [line, f"Everywhere: --ignore {rule.code}, of generate and check"]


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


def _print_heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _print_words(console: Console, paragraph: str) -> None:
    """A paragraph is filled anew to the terminal's width; a list keeps its lines."""
    lines = paragraph.split("\n")
    if not any(line.startswith((" ", "-", "*", "|")) for line in lines):
        width = min(console.width, _READABLE) - len(_INDENT)
        lines = wrap(" ".join(lines), width, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        console.print(Text(f"{_INDENT}{line}"), soft_wrap=True)


def _print_code(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(f"  {line}".rstrip(), style=style_of(line)), soft_wrap=True)
