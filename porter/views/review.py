"""Hunks for people who decide: one on a screen, or all as a table."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.segment import Segment, Segments
from rich.text import Text

from ..changes.decisions.splicing import lines_for
from ..codemod import rulebook
from ..codemod.imports import RuntimeImport
from ..generate.difference import unified
from .console import NARROW, plain_table, stdout_console
from .diff import style_of
from .visible import visible

if TYPE_CHECKING:
    from ..changes.decisions import Decision
    from ..changes.decisions.walk import State, Walk
    from ..changes.hunks import Hunk
    from ..rule import Rule

KEYS = (
    ("a", "accept"),
    ("r", "reject"),
    ("w", "reject and waive"),
    ("e", "edit"),
    ("A", "accept all alike"),
    ("R", "reject all alike"),
    ("s", "skip"),
    ("b", "back"),
    ("u", "undo"),
    ("/", "search"),
    ("t", "rule's text"),
    ("↑↓", "scroll"),
    ("?", "help"),
    ("q", "quit"),
)
_HELP = {
    "a": "The rewrite is right. The hunk is not shown again before the rules write something else there.",
    "r": "Upstream's lines stay, and the hazard that the rewrite took away is residual.",
    "w": "Upstream's lines stay, and the hazard is waived with the reason that you type.",
    "e": "Your editor opens with the rule's lines; what you write stands in their place.",
    "A": "Accept all undecided hunks of the same rules, or of the same file: it asks which.",
    "R": "Reject them, in the same way.",
    "s": "Go on and decide later; n and → do the same.",
    "b": "Go back; p and ← do the same.",
    "u": "Take back what was decided about this hunk.",
    "/": "Go to the next hunk with a text in its path, scope, rules or lines; nothing typed repeats the last search.",
    "t": "Why the rule exists and what it does, as `sovits-port rules CODE` tells.",
    "↑↓": "Scroll; k and j, Page Up and Page Down do so too.",
    "?": "This page.",
    "q": "Quit. Every decision is written at once.",
}
_CONTEXT = 3
_STYLES: dict[State, str] = {
    "undecided": "",
    "outdated": "yellow",
    "accepted": "green",
    "rejected": "red",
    "edited": "cyan",
}
_EXPLAINED = {
    "undecided": "undecided",
    "outdated": "the rules rewrite this in another way than when you looked at it",
    "accepted": "accepted",
    "rejected": "rejected: upstream's lines stay, the hazard is residual",
    "edited": "edited: your lines stand here",
}


def print_hunk(console: Console, walk: Walk, hunk: Hunk, top: int, message: str) -> int:
    """Draw one hunk on the whole screen, from row `top` of what is told of it; the `top` that was possible."""
    width, height = console.size
    options = console.options.update(width=width, height=None)

    def rows(texts: Iterable[Text]) -> list[list[Segment]]:
        return [row for text in texts for row in console.render_lines(text, options, pad=False)]

    foot = rows([*([Text(message, style="bold red")] if message else []), *_keys(width)])
    body = rows([*_about(walk, hunk), *_diff(walk, hunk)])
    space = max(1, height - len(foot) - 1)
    top = max(0, min(top, len(body) - space))
    shown = body[top : top + space]
    head = Text(f"{walk.at + 1} of {len(walk.hunks)}, {walk.left} undecided", style="bold")
    if len(body) > space:
        head.append(f"  rows {top + 1}-{top + len(shown)} of {len(body)}", style="not bold dim")
    head.truncate(width)
    blank: list[list[Segment]] = [[] for _ in range(space - len(shown))]
    screen = [*rows([head]), *shown, *blank, *foot][:height]
    segments = [part for row in screen for part in (*row, Segment.line())][:-1]
    console.clear()
    console.print(Segments(segments), end="", soft_wrap=True)
    return top


def print_help(console: Console) -> None:
    """Draw what each key does on the whole screen."""
    table = plain_table("Key", "", "What it does")
    for key, does in KEYS:
        table.add_row(Text(key, style="bold"), Text(does), Text(_HELP[key]))
    _page(console, table)


def print_rule_texts(console: Console, codes: Iterable[str], folders: Sequence[Path]) -> None:
    """Draw the title, safety and reasons of rules on the whole screen."""
    rules: list[type[Rule]] = [*rulebook.load(folders).rules, RuntimeImport]
    book = {rule.code: rule for rule in rules}
    texts: list[Text] = []
    for code in codes:
        rule = book.get(code)
        if rule is None:
            texts.append(Text(f"{code} is a rule that is not here any more."))
            continue
        texts += [
            Text.assemble((code, "cyan"), f" {rule.title} ({rule.safety.value})"),
            Text(inspect.getdoc(rule) or ""),
            Text(),
        ]
    _page(console, Group(*texts))


def _page(console: Console, shown: RenderableType) -> None:
    console.clear()
    console.print(shown)
    console.print(Text("any key goes back", style="dim"), end="")


def print_list(walk: Walk) -> None:
    """Print all hunks with what became of them on stdout."""
    console = stdout_console()
    if console.width < NARROW:
        for hunk in walk.in_order:
            line = Text(_place(hunk)).append(f" {', '.join(hunk.rules)}", style="cyan").append(" ")
            console.print(line.append(_state(walk, hunk)), soft_wrap=True)
    else:
        table = plain_table("Place", "Rules", "Decision", "Scope")
        table.columns[0].no_wrap = True
        for hunk in walk.in_order:
            rules = Text(" ".join(hunk.rules), style="cyan")
            table.add_row(Text(_place(hunk)), rules, _state(walk, hunk), Text(hunk.scope))
        console.print(table)
    console.print(Text(summary(walk)), soft_wrap=True)
    for told in walk.stale:
        console.print(Text(_stale(told), style="yellow"), soft_wrap=True)


def summary(walk: Walk) -> str:
    """How many hunks are in each state, in words."""
    counts = Counter(walk.state(hunk) for hunk in walk.hunks)
    told = ", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state])
    count = f"{len(walk.hunks)} hunk{'' if len(walk.hunks) == 1 else 's'}"
    return count + (f": {told}" if told else "")


def _stale(told: Decision) -> str:
    return f"stale: {told.what} {told.file}:{told.line} ({told.key}), whose code is not in the package"


def _about(walk: Walk, hunk: Hunk) -> Iterator[Text]:
    """Where a hunk is, what the rules did there and why, and what became of it."""
    where = f" in {hunk.scope}" if hunk.scope else ""
    yield Text(f"{_place(hunk)}{where}").append(f" → {hunk.target}", style="dim")
    seen: set[tuple[str, str]] = set()
    for edit in hunk.edits:
        if (edit["rule"], edit["reason"]) not in seen:
            seen.add((edit["rule"], edit["reason"]))
            yield Text(edit["rule"], style="cyan").append(f" ({edit['safety']}) {edit['reason']}", style="not cyan")
    yield _state(walk, hunk, long=True)
    yield Text()


def _state(walk: Walk, hunk: Hunk, *, long: bool = False) -> Text:
    state, told = walk.state(hunk), walk.told(hunk)
    words = _EXPLAINED[state] if long else state
    if told is not None and told.reason:
        words = f"rejected, waived: {told.reason}"
    return Text(words, style=_STYLES[state] or "dim")


def _diff(walk: Walk, hunk: Hunk) -> Iterator[Text]:
    """Upstream's lines against the rules', or against a person's own."""
    told = walk.told(hunk)
    new = lines_for(hunk, told) if told is not None and told.what == "edit" else hunk.new
    before, after = walk.around(hunk, _CONTEXT)
    old_text, new_text = "".join((*before, *hunk.old, *after)), "".join((*before, *new, *after))
    lines = list(unified(old_text, new_text, "", "", context=len(hunk.old) + 2 * _CONTEXT))
    if not lines:  # a person wrote upstream's own lines
        lines = ["", "", "", *(f" {line}" for line in (*before, *hunk.old, *after))]
    for line in lines[2:]:
        if not line.startswith("@@ "):
            yield Text(visible(line.rstrip("\r\n").expandtabs(8)), style=style_of(line))


def _keys(width: int) -> Iterator[Text]:
    """The keys, each beside what it does, on as few rows as fit."""
    row = Text()
    for key, does in KEYS:
        item = Text(key, style="bold reverse").append(f" {does}", style="not bold not reverse")
        if row and row.cell_len + 2 + item.cell_len > width:
            yield row
            row = Text()
        row = row.append("  " if row else "").append_text(item)
    yield row


def _place(hunk: Hunk) -> str:
    return f"{hunk.path}:{hunk.line}"
