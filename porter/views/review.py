"""Hunks for people who decide: one on a screen, or all as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.segment import Segment, Segments
from rich.text import Text

from ..decisions.splicing import lines_for
from ..generate.difference import unified
from .console import NARROW, plain_table, stdout_console
from .diff import style_of

if TYPE_CHECKING:
    from ..decisions import Decision
    from ..decisions.walk import State, Walk
    from ..hunks import Hunk

KEYS = (
    ("a", "accept"),
    ("r", "reject"),
    ("w", "reject and waive"),
    ("e", "edit"),
    ("s", "skip"),
    ("b", "back"),
    ("u", "undo"),
    ("↑↓", "scroll"),
    ("q", "quit"),
)
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
            yield Text(line.rstrip("\r\n").expandtabs(8), style=style_of(line))


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
