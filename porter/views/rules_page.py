"""The rule book as one page in Markdown: docs/rules.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from ..codemod.rulebook import FAMILIES
from .families import ABOUT
from .rules import can_be_kept_off, documentation, example_diff, family, safety, source_file

if TYPE_CHECKING:
    from ..rule import Rule

_WIDTH = 119


def rules_page(rules: Sequence[type[Rule]]) -> str:
    """The page: rules by family, each below an anchor with its code in small letters."""
    return "\n".join([*_opening(rules), *(line for part in _families(rules) for line in _family(*part))]) + "\n"


def _opening(rules: Sequence[type[Rule]]) -> Iterator[str]:
    yield "# The rules"
    yield ""
    yield "<!-- made by: sovits-port rules --markdown > docs/rules.md -->"
    yield "Made from the rule book by `sovits-port rules --markdown`. `sovits-port rules CODE` prints one of them."
    yield ""
    yield "Safety says what a rewrite may do to a result on the CPU:"
    yield ""
    words = {rule.safety: safety(rule) for rule in rules}
    for kind, told in sorted(words.items(), key=lambda item: item[0].value):
        yield f"- **{kind.value}**: {told}"
    yield ""
    yield "A note `# port: ignore[CODE]` on a line of upstream keeps a rule or a family off that line, and off all that"
    yield "means nothing without it ([how](hazards.md#notes)); `--ignore` of `generate` and `check` does so everywhere."
    yield "The examples below are executed by the tests."
    for code, title, members in _families(rules):
        yield ""
        yield f"**[{code}](#{code.lower()}) {title}**"
        yield ""
        for rule in members:
            yield f"- [{rule.code}](#{rule.code.lower()}) {rule.title}"


def _families(rules: Sequence[type[Rule]]) -> Iterator[tuple[str, str, list[type[Rule]]]]:
    """Each family with rules: its code, its name and its rules, in the rule book's order."""
    found: dict[str, list[type[Rule]]] = {}
    for rule in rules:
        found.setdefault(rule.code.rstrip("0123456789"), []).append(rule)
    known = [code for code in FAMILIES if code in found]
    for code in (*known, *sorted(set(found) - set(known))):
        yield code, family(found[code][0]), found[code]


def _family(code: str, title: str, rules: Sequence[type[Rule]]) -> Iterator[str]:
    yield ""
    yield f'<a id="{code.lower()}"></a>'
    yield ""
    yield f"## {code}: {title}"
    if code in ABOUT:
        yield ""
        yield from wrap(ABOUT[code], _WIDTH)
    for rule in rules:
        yield from _rule(rule)


def _rule(rule: type[Rule]) -> Iterator[str]:
    yield ""
    yield f'<a id="{rule.code.lower()}"></a>'
    yield ""
    yield f"### {rule.code}: {rule.title}"
    yield ""
    yield documentation(rule)
    yield ""
    yield f"Told at each edit: *{rule.message}.*"
    yield ""
    yield f"Safety: **{rule.safety.value}**, {safety(rule)}. From `{source_file(rule)}`."
    if not can_be_kept_off(rule):
        yield ""
        yield "It comes along with the edits that need it, and cannot be kept off by itself."
    for example in rule.examples:
        yield ""
        yield from _fenced("diff", example_diff(example.before, example.after))
    if rule.untouched:
        yield ""
        yield f"<details><summary>Code that looks alike and is left alone ({len(rule.untouched)})</summary>"
        for source in rule.untouched:
            yield ""
            yield from _fenced("python", source.rstrip("\n").split("\n"))
        yield ""
        yield "</details>"


def _fenced(language: str, lines: Sequence[str]) -> Iterator[str]:
    fence = "````" if any("```" in line for line in lines) else "```"
    yield f"{fence}{language}"
    yield from (line.rstrip() for line in lines)
    yield fence
