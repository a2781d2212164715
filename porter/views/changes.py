"""What differs between two packages, on one screen: counts first, then details, long lists cut."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..inputs.upstream.revision import short
from .console import NARROW, STATUS_STYLES, PlainTable, plain_table

if TYPE_CHECKING:
    from ..changes.packages.changes import Changed, Changes, FileChange, HazardChange, Rewrite, RewriteChanges

_CLAUSE = re.compile(r"[;,:(]")
_REASON = 60  # characters
_FILES, _ROWS, _LINES = 6, 5, 4  # most rows of files, of each kind of rewrite or hazard, most lines in a row
_KINDS = {
    "changed": "changed",
    "added": "added",
    "removed": "removed",
    "renamed": "renamed",
    "comments": "comments only",
    "reformatted": "reformatted only",
    "header": "header only",
}
_WHY = {
    "upstream": "upstream's code is another",
    "written": "the rule writes something else",
    "rule": "another rule",
}
_STYLES = {"new": "green", "gone": "red", "changed": "yellow", "to elsewhere": "cyan"}


def print_changes(console: Console, changes: Changes, *, whole: bool = False) -> None:
    """Print why, what became of rewrites and hazards, and the details; with `whole` no list is cut."""
    files, rows, lines = (None, None, None) if whole else (_FILES, _ROWS, _LINES)
    print_counts(console, [*causes(changes), *effects(changes)])
    _print_files(console, changes.upstream, files)
    _print_hazards(console, changes, rows)
    _print_rewrites(console, changes, rows, lines)


def print_counts(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print labels and what there is to say."""
    table = PlainTable.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for label, told in rows:
        table.add_row(Text(label, style="bold"), Text(told))
    console.print(table)


def causes(changes: Changes) -> list[tuple[str, str]]:
    """Why there are changes, as label and words; empty ones are left out."""
    told = {fact.name: f"{fact.name} {fact.before or 'none'} → {fact.after or 'none'}" for fact in changes.facts}

    def facts(*names: str) -> list[str]:
        return [told[name] for name in names if name in told]

    def words(**by_fact: str) -> list[str]:
        return [text for name, text in by_fact.items() if name in told]

    moved = not told.keys().isdisjoint(("spec", "revision"))
    files = ", ".join(_kinds(changes.consulted))
    rows = (
        ("Revision", [" → ".join(_upstream(changes, side) for side in (0, 1))] if moved else []),
        ("Upstream", _kinds(changes.upstream)),
        ("", facts("module", "licence")),
        (
            "Imports",
            [
                *([f"files that are only imported: {files}"] if files else []),
                *words(imports="other files exist for its imports to mean"),
            ],
        ),
        ("Rules", [*words(rulebook="the rule files are others"), *_rules(changes)]),
        ("Tool", [*facts("version"), *words(engine="the engine or the runtime is another one")]),
        ("Options", [*facts("select", "ignore", "install"), *words(decisions="other decisions of people")]),
    )
    return [(label, ", ".join(parts)) for label, parts in rows if parts]


def _rules(changes: Changes) -> list[str]:
    """Which rules are at work now, and which no longer."""
    new = [f"{', '.join(changes.rules_new)} at work now"] if changes.rules_new else []
    return new + ([f"{', '.join(changes.rules_gone)} no longer"] if changes.rules_gone else [])


def effects(changes: Changes) -> list[tuple[str, str]]:
    """What became of rewrites, hazards and files, as label and words."""
    made = changes.rewrites
    elsewhere = sum(moved.elsewhere for moved in made.moved)
    moved = f"{len(made.moved)} moved" + (f" ({elsewhere} to elsewhere)" if elsewhere else "")
    rewrites = f"{len(made.new)} new, {len(made.gone)} gone, {len(made.changed)} changed, {moved}, {made.kept} in place"
    found = changes.hazards
    rejected = f"{len(found.rejected)} whose rewrite a person rejected, " if found.rejected else ""
    waived = len(found.new) - len(found.residual)
    hazards = f"{len(found.unknown)} that no rule knows, {rejected}{waived} newly waived, {len(found.gone)} gone"
    files = _kinds(changes.package)
    added, removed = sum(f.added for f in changes.package), sum(f.removed for f in changes.package)
    package = f"{', '.join(files)} (+{added} −{removed} lines)" if files else "only port.json differs"
    return [("Rewrites", rewrites), ("Hazards", hazards), ("Package", package)]


def _upstream(changes: Changes, side: int) -> str:
    names = []
    for name in ("spec", "revision"):
        fact = changes.fact(name)
        if fact is not None:
            names.append((fact.before, fact.after)[side])
    shown = [short(name) for name in names]
    return " ".join(name for i, name in enumerate(shown) if name and not (i and name[:7] in shown[0])) or "no commit"


def _kinds(files: Iterable[FileChange]) -> list[str]:
    counts: Counter[str] = Counter(change.kind for change in files)
    return [f"{counts[kind]} {words}" for kind, words in _KINDS.items() if kind in counts]


def _print_files(console: Console, files: Sequence[FileChange], most: int | None) -> None:
    if not files:
        return
    console.print()
    table = plain_table("Upstream's files", "", "Lines")
    table.columns[0].overflow = "fold"
    order = list(_KINDS)
    ranked = sorted(files, key=lambda f: (order.index(f.kind), -f.added - f.removed, f.file))
    for change in ranked[:most]:
        place = f"{change.file} (was {change.was})" if change.was else change.file
        table.add_row(Text(place), Text(_KINDS[change.kind]), Text(f"+{change.added} −{change.removed}"))
    _print_cut(console, table, len(files) - len(files[:most]))


def _print_hazards(console: Console, changes: Changes, most: int | None) -> None:
    _print_residual(console, "Hazards that no rule knows", changes.hazards.unknown, most)
    _print_residual(console, "Hazards whose rewrite a person rejected", changes.hazards.rejected, most)


def _print_residual(console: Console, heading: str, found: Sequence[HazardChange], most: int | None) -> None:
    if not found:
        return
    console.print()
    console.print(Text(f"{heading} ({len(found)})", style=STATUS_STYLES["residual"]))
    table = plain_table("Code", "Place", "Reason")
    table.columns[0].no_wrap = table.columns[1].no_wrap = console.width >= NARROW
    for hazard in found[:most]:
        table.add_row(Text(hazard.code, style="cyan"), Text(f"{hazard.file}:{hazard.line}"), Text(_reason(hazard)))
    _print_cut(console, table, len(found) - len(found[:most]))


def _reason(hazard: HazardChange) -> str:
    return f"{hazard.reason} (was {hazard.before})" if hazard.before else hazard.reason


def _print_rewrites(console: Console, changes: Changes, most: int | None, lines_most: int | None) -> None:
    groups = _groups(changes.rewrites)
    if not any(groups.values()):
        return
    console.print()
    shared = _shared([rewrite.file for group in groups.values() for rewrite, _ in group])
    table = plain_table("Rewrites", "Rule", f"Place in {shared}" if shared else "Place", "Reason")
    for column in table.columns[:2]:
        column.no_wrap = True
    table.columns[2].overflow = "fold"
    table.columns[2].no_wrap = console.width >= NARROW
    for kind, group in groups.items():
        rows: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for rewrite, reason in group:
            rows[rewrite.rule, rewrite.file, _short(reason)].append(rewrite.line)
        for (rule, path, reason), lines in list(rows.items())[:most]:
            style = _STYLES[kind]
            table.add_row(
                Text(kind, style),
                Text(rule, "cyan"),
                Text(f"{path[len(shared) :]}:{_listed(lines, lines_most)}"),
                Text(reason),
            )
        left = sum(map(len, rows.values())) - sum(map(len, list(rows.values())[:most]))
        if left:
            table.add_row(Text(""), Text(""), Text(f"and {left} more {kind}"), Text(""))
    console.print(table)


def _groups(made: RewriteChanges) -> dict[str, list[tuple[Rewrite, str]]]:
    """Rewrites that are not as they were, each with the reason, by what became of them."""
    return {
        "new": [(rewrite, rewrite.reason) for rewrite in made.new],
        "gone": [(rewrite, rewrite.reason) for rewrite in made.gone],
        "changed": [(pair.after, _why(pair)) for pair in made.changed],
        "to elsewhere": [
            (m.after, f"was {m.before.file}:{m.before.line}, {m.before.scope}") for m in made.moved if m.elsewhere
        ],
    }


def _why(pair: Changed) -> str:
    return f"the rule was {pair.before.rule}" if pair.why == "rule" else _WHY[pair.why]


def _shared(paths: Sequence[str]) -> str:
    """The folder that all are in, with a slash; "" where there is none."""
    folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    return f"{folder}/" if folder else ""


def _short(reason: str) -> str:
    """What fits beside the rest; diff and --json have it in full."""
    return shorten(_CLAUSE.split(reason)[0], _REASON, placeholder=" …")


def _listed(lines: Sequence[int], most: int | None) -> str:
    shown, left = ",".join(map(str, lines[:most])), len(lines) - len(lines[:most])
    return f"{shown} and {left} more" if left else shown


def _print_cut(console: Console, table: Table, left: int) -> None:
    console.print(table)
    if left > 0:
        console.print(Text(f"and {left} more"))
