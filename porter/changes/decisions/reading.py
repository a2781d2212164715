"""Reading the file of decisions, and refusing what is damaged."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

from ...errors import PortError
from ...inputs.regular import read_regular
from .model import Decision, What

VERSION = 1
_KEY = re.compile(r"[0-9a-f]{16}(\.[1-9][0-9]*)?")
_WHATS = ("accept", "reject", "edit")
_TEXTS = ("key", "what", "reason", "text", "file", "scope", "code", "rewrite")
_FIELDS = (*_TEXTS, "line", "rules")


def read(path: Path) -> tuple[Decision, ...]:
    """The decisions in a file, in its order; none where there is no such file. PortError for a damaged one."""
    content = read_text(path)
    return () if content is None else parse(content, path)


def read_text(path: Path) -> str | None:
    """The file's text, or None where there is none."""
    try:
        return read_regular(path).decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PortError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PortError(f"{path} is damaged: it is not UTF-8 text") from None


def parse(content: str, path: Path) -> tuple[Decision, ...]:
    """The decisions in a text. PortError, naming `path`, where one cannot be understood."""
    found: dict[str, Decision] = {}
    for number, table in enumerate(_tables(content, path), 1):
        decision = _decision(table, f"{path}: decision {number}")
        if decision.key in found:
            raise PortError(f"{path}: decision {number} has the key {decision.key} of an earlier one")
        found[decision.key] = decision
    return tuple(found.values())


def _tables(content: str, path: Path) -> list[dict[str, Any]]:
    """The tables of decisions in a text. PortError, naming `path`, where it is no such file."""
    try:
        told = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise PortError(f"{path} is damaged: {error}") from None
    except RecursionError:
        raise PortError(f"{path} is damaged: it nests too deeply") from None
    unknown = sorted(set(told) - {"version", "decision"})
    if unknown:
        raise PortError(f"{path}: {unknown[0]!a} is nothing that this file can say")
    if told.get("version") != VERSION or isinstance(told["version"], bool):
        raise PortError(f"{path} has version {told.get('version')!a}, and this version of sovits-port reads {VERSION}")
    tables = told.get("decision", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise PortError(f"{path}: decisions are written as [[decision]]")
    return tables


def _decision(table: dict[str, Any], where: str) -> Decision:
    _refuse_other_types(table, where)
    key, what = table.get("key", ""), table.get("what", "")
    if not _KEY.fullmatch(key):
        raise PortError(f"{where}: key has to be the 16 hex digits of a hunk, not {key!a}")
    if what not in _WHATS:
        raise PortError(f"{where}: what has to be accept, reject or edit, not {what!a}")
    if "reason" in table and what != "reject":
        raise PortError(f"{where}: only reject has a reason")
    if ("text" in table) != (what == "edit"):
        raise PortError(f"{where}: edit has a text, and nothing else does")
    told = {name: table[name] for name in _TEXTS if name in table and name != "what"}
    line, rules = table.get("line", 0), tuple(table.get("rules", ()))
    return Decision(**{**told, "what": cast(What, what), "line": line, "rules": rules})


def _refuse_other_types(table: dict[str, Any], where: str) -> None:
    """PortError for what no decision has, and for values of other types than decisions have."""
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise PortError(f"{where} has {unknown[0]!a}, which is nothing that a decision can say")
    for name in _TEXTS:
        if not isinstance(table.get(name, ""), str):
            raise PortError(f"{where}: {name} has to be text")
    line, rules = table.get("line", 0), table.get("rules", [])
    if not isinstance(line, int) or isinstance(line, bool) or line < 0:
        raise PortError(f"{where}: line has to be a number")
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise PortError(f"{where}: rules has to be a list of codes")
