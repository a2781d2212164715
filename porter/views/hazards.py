"""The account of hazards, by status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from .console import NARROW, STATUS_STYLES, counts_line, plain_table, stdout_console
from .scope import print_scope
from .trainers import print_missing

if TYPE_CHECKING:
    from ..hazards.runs import Checked
    from ..package.manifest import HazardRecord, HazardsRecord, IgnoreRecord, Manifest

_HEADINGS = {
    "fixed": "Fixed by a rule",
    "waived": "Waived, with the reason",
    "residual": "Residual: each costs a graph, a transfer or a fallback",
    "not ported": "Not ported: found in files as upstream has them",
}


def print_hazards(manifest: Manifest, checked: Checked, *, everything: bool, quiet: bool = False) -> None:
    """Print the account on stdout, and what was looked at; fixed ones are only counted unless `everything`.

    With `quiet` only those that count are printed: residual ones, and those of files that are not ported.
    """
    console = stdout_console()
    hazards = manifest["hazards"]
    if quiet:
        print_group(console, [h for h in hazards["list"] if h["status"] in ("residual", "not ported")])
        return
    print_scope(console, manifest, looked_at=checked.scope != "ported")
    console.print()
    for status, heading in _HEADINGS.items():
        group = [h for h in hazards["list"] if h["status"] == status]
        if not group:
            continue
        console.print(Text(f"{heading} ({len(group)})", style=STATUS_STYLES[status]))
        if status == "fixed" and not everything:
            _print_counts(console, group)
        else:
            print_group(console, group)
        console.print()
    print_unused(console, manifest["unused_ignores"])
    print_missing(console, manifest)
    counts = counts_line(_counts(hazards))
    console.print(counts.append(f", {_of_what(checked)}"), soft_wrap=console.width >= NARROW)


def _counts(hazards: HazardsRecord) -> dict[str, int]:
    """How many hazards have each status."""
    counts = {"fixed": hazards["fixed"], "waived": hazards["waived"], "residual": hazards["residual"]}
    return counts | ({"not ported": hazards["not_ported"]} if "not_ported" in hazards else {})


def _of_what(checked: Checked) -> str:
    """What the hazards were looked for in."""
    if checked.scope == "ported":
        return f"of what is ported: {_files(len(checked.ported))}"
    ported, left = len(checked.ported), len(checked.not_ported)
    looked_at = f"{_files(ported)} ported, {left} not; {len(checked.host)} on the host not looked at"
    if checked.scope == "all":
        return f"of all that computes with torch: {looked_at}"
    return f"of what {checked.scope} reaches from {', '.join(checked.start)}: {looked_at}"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def print_group(console: Console, group: Sequence[HazardRecord]) -> None:
    """Print hazards of one status: code, place, reason."""
    if not group:
        return
    if console.width < NARROW:
        for hazard in group:
            line = Text("  ").append(hazard["code"], style="cyan").append(f" {_place(hazard)}")
            console.print(line, soft_wrap=True)
            for reason in wrap(hazard["reason"], max(20, console.width - 5)):
                console.print(Text(f"    {reason}"), soft_wrap=True)
        return
    table = plain_table("Code", "Place", "Reason")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for hazard in group:
        table.add_row(Text(hazard["code"], style="cyan"), Text(_place(hazard)), Text(hazard["reason"]))
    console.print(table)


def print_unused(console: Console, notes: Sequence[IgnoreRecord]) -> None:
    """Print notes in upstream's lines that kept no rule off."""
    for note in notes:
        console.print(Text(f"{note['file']}:{note['line']}: {unused(note)}", style="yellow"))


def unused(note: IgnoreRecord) -> str:
    """What a note that keeps nothing off may have meant."""
    told = f"the note ignore[{note['code']}]" if note["code"] else "the note ignore"
    if "meant" not in note:
        return f"{told} keeps nothing off"
    asked = f"; did you mean {note['meant']}?" if note["meant"] else ""
    return f"{told} names no rule or family{asked}"


def _print_counts(console: Console, group: Sequence[HazardRecord]) -> None:
    table = plain_table("Code", "Places")
    table.columns[1].justify = "right"
    for code, count in sorted(Counter(h["code"] for h in group).items()):
        table.add_row(Text(code, style="cyan"), Text(str(count)))
    console.print(table)


def _place(hazard: HazardRecord) -> str:
    return f"{hazard['file']}:{hazard['line']}"
