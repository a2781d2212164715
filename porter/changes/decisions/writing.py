"""Writing the file of decisions; what people wrote between the lines stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.items import AoT, Comment, Item, Table

from ...package.store import write_file
from .model import Decision
from .reading import VERSION, parse, read_text

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_OPENING = (
    "What people decided about this port's rewrites: `sovits-port review` asks, `sovits-port generate` follows.",
    "Commit it. A decision holds wherever its code moves, until upstream or the rules change that code.",
)


def write(path: Path, decisions: Iterable[Decision]) -> None:
    """Make a file say exactly `decisions`; old or new, never half. PortError for a file that is damaged."""
    old = read_text(path)
    known = {d.key: d for d in parse(old, path)} if old is not None else {}
    document = _empty() if old is None else tomlkit.parse(old)
    tables = document.get("decision")
    if not isinstance(tables, AoT):
        tables = tomlkit.aot()
        document["decision"] = tables
    wanted = {decision.key: decision for decision in decisions}
    _update(tables, known, wanted)
    if not tables:
        del document["decision"]
    content = tomlkit.dumps(document)
    # Never replace a good file by one that cannot be read back.
    if {d.key: d for d in parse(content, path)} != wanted:
        raise AssertionError(f"{path} would not say what was decided")
    if content != old:
        write_file(path, content.encode())


def _empty() -> TOMLDocument:
    document = tomlkit.document()
    for line in _OPENING:
        document.add(tomlkit.comment(line))
    document.add("version", tomlkit.item(VERSION))
    document.add(tomlkit.nl())
    return document


def _update(tables: AoT, known: Mapping[str, Decision], wanted: Mapping[str, Decision]) -> None:
    """Make tables that say what is `known` say what is `wanted`."""
    for index in range(len(tables) - 1, -1, -1):
        key = str(tables[index]["key"])
        if key not in wanted:
            del tables[index]
        elif wanted[key] != known[key]:
            changed = _table(wanted[key], tables[index])
            del tables[index]
            tables.insert(index, changed)
    for decision in sorted((wanted[key] for key in wanted.keys() - known.keys()), key=_order):
        _insert(tables, _table(decision), decision)


def _order(decision: Decision) -> tuple[str, str, str]:
    """Where a decision stands in the file: line numbers move, so they have no say."""
    return decision.file, decision.scope, decision.key


def _insert(tables: AoT, table: Table, decision: Decision) -> None:
    """Put a decision before the first that belongs behind it."""
    for index, other in enumerate(tables):
        place = (str(other.get("file", "")), str(other.get("scope", "")), str(other["key"]))
        if place > _order(decision):
            tables.insert(index, table)
            return
    tables.append(table)


def _table(decision: Decision, old: Table | None = None) -> Table:
    """A decision as the file has it, with the comments of the table that it replaces."""
    told: dict[str, object] = {"key": decision.key, "what": decision.what}
    if decision.reason:
        told["reason"] = decision.reason
    told |= {"file": decision.file, "line": decision.line, "scope": decision.scope}
    told |= {"rules": list(decision.rules), "code": decision.code, "rewrite": decision.rewrite}
    if decision.what == "edit":
        told["text"] = _lines(decision.text)
    table = tomlkit.table()
    for name, value in told.items():
        item = tomlkit.item(value)
        if old is not None and name in old and old[name].trivia.comment:
            item.comment(old[name].trivia.comment)
        table.add(name, item)
    for _, part in old.value.body if old is not None else ():
        if isinstance(part, Comment):
            table.add(part)
    table.add(tomlkit.nl())
    return table


def _lines(text: str) -> Item:
    """Text as people edit it: lines as they are, where TOML can say them so."""
    plain = "'''" not in text and not text.endswith("'") and all(c in "\n\t" or c.isprintable() for c in text)
    return tomlkit.value(f"'''\n{text}'''") if plain else tomlkit.string(text, multiline=True)
