"""What commands print with --json: a JSON schema for each answer, and a page that tells them.

python -m tools.json_reference

writes docs/json.md and docs/schemas/*.json. Both are made of the types in porter/answers and of the comments there.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

from porter.answers import ANSWERS, ErrorAnswer
from porter.cli.output import SCHEMA

_DOCS = Path(__file__).parent.parent / "docs"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_FIELD = re.compile(r"^    (\w+): [^#\n]*#[ ](.*)$", re.MULTILINE)
_ERROR = "error"


class Definitions:
    """The schemas of all records that one answer has, by name."""

    def __init__(self) -> None:
        """None yet."""
        self.found: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type."""
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (UnionType, Union):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (list, tuple):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if is_typeddict(kind) or is_dataclass(kind):
            return self._record(kind)
        raise TypeError(f"no schema is known for {kind}")

    def _record(self, kind: Any) -> dict[str, Any]:
        name = kind.__name__
        if self._kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"{kind} and {self._kinds[name]} cannot both be called {name}")
        if name not in self.found:
            self.found[name] = {}  # for one that holds itself
            self.found[name] = self.record(kind)
        return {"$ref": f"#/$defs/{name}"}

    def record(self, kind: Any) -> dict[str, Any]:
        """The schema of an object with these fields and no others."""
        hints = get_type_hints(kind)
        names = list(hints) if is_typeddict(kind) else [field.name for field in fields(kind)]
        told = _comments(kind)
        properties = {
            name: {**self.of(hints[name]), **({"description": told[name]} if name in told else {})} for name in names
        }
        needed = sorted(kind.__required_keys__) if is_typeddict(kind) else sorted(names)
        return {
            "type": "object",
            "description": inspect.cleandoc(kind.__doc__ or ""),
            "properties": properties,
            "required": needed,
            "additionalProperties": False,
        }


def schema_of(command: str) -> dict[str, Any]:
    """The whole schema of what a command line prints, or of an error."""
    definitions = Definitions()
    whole = definitions.record(ErrorAnswer if command == _ERROR else ANSWERS[command])
    first: dict[str, Any] = {} if command == _ERROR else {"command": {"const": command.split()[0]}}
    first["schema"] = {"const": SCHEMA}
    whole["properties"] = {**first, **whole["properties"]}
    whole["required"] = [*first, *whole["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "an error" if command == _ERROR else f"sovits-port {command} --json",
        **whole,
        "$defs": {name: definitions.found[name] for name in sorted(definitions.found)},
    }


def files() -> dict[str, str]:
    """All files, by place below docs."""
    names = [*ANSWERS, _ERROR]
    schemas = {f"schemas/{_name(command)}.json": json.dumps(schema_of(command), indent=1) + "\n" for command in names}
    return {"json.md": page(), **schemas}


def page() -> str:
    """The page."""
    lines = [
        "# JSON",
        "",
        "<!-- made by: python -m tools.json_reference -->",
        "",
        "`--json` (or `--output-format json`) prints one object on stdout. It says which `command` printed it and the "
        f"version of its form, `schema`: now {SCHEMA}. Fields may come with any release. One that goes, or means "
        "something else, makes another version, and the changelog names it. The exit status is the same as without "
        "`--json`.",
        "",
        "Everywhere `file` and `line` are a place upstream, `target` and `target_line` one in `module/tpu`; lines "
        "count from 1. `rule` and `code` are those that `sovits-port rules` lists. Each answer has a schema, in JSON "
        "Schema 2020-12.",
        "",
        "| command | schema |",
        "|---|---|",
    ]
    lines += [f"| [`{c}`](#{_anchor(c)}) | [{_name(c)}.json](schemas/{_name(c)}.json) |" for c in ANSWERS]
    lines += [f"| [{_ERROR}s](#errors) | [{_ERROR}.json](schemas/{_ERROR}.json) |"]
    records: dict[str, dict[str, Any]] = {}
    for command in ANSWERS:
        schema = schema_of(command)
        other = [name for name, told in schema["$defs"].items() if records.setdefault(name, told) != told]
        if other:
            raise TypeError(f"{other} are two kinds of records each")
        lines += ["", f"## {command}", "", schema["description"], "", *_table(schema)]
    error = schema_of(_ERROR)
    records |= error["$defs"]
    lines += ["", "## Errors", ""]
    lines += [
        "Where a command cannot do what it was asked (status 2), `--json` prints this, and the sentence goes to stderr "
        "as well. A command that was stopped by Ctrl-C (130) or a signal may print nothing.",
        "",
        *_table(error),
        "",
        "## Records",
    ]
    for name in sorted(records):
        lines += ["", f"### {name}", "", records[name]["description"], "", *_table(records[name])]
    return "\n".join(lines) + "\n"


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| field | is | |"
    yield "|---|---|---|"
    for name, told in schema["properties"].items():
        missing = "" if name in schema["required"] else " (may be missing)"
        words = told.get("description", "").replace("|", "\\|")
        yield f"| `{name}` | {_words(told)}{missing} | {words} |"


def _words(told: Mapping[str, Any]) -> str:
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in told:
        return " or ".join(_words(part) for part in told["anyOf"])
    if "enum" in told:
        return " or ".join(f"`{json.dumps(value)}`" for value in told["enum"])
    if "const" in told:
        return f"`{json.dumps(told['const'])}`"
    if told["type"] == "array":
        return f"array of {_words(told['items'])}"
    if told["type"] == "object":
        return f"object, by name, of {_words(told['additionalProperties'])}"
    return str(told["type"])


def _comments(kind: Any) -> dict[str, str]:
    """Comments beside the fields of a record, by field, those of its bases included."""
    told: dict[str, str] = {}
    source = inspect.getsource(kind)
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.ClassDef)
    for base in statement.bases:  # Python 3.11 forgets those of typed dictionaries
        known = getattr(sys.modules[kind.__module__], ast.unparse(base), None)
        if known is not None and known is not TypedDict:
            told |= _comments(known)
    return told | dict(_FIELD.findall(source))


def _anchor(command: str) -> str:
    """The anchor of a heading, as the site makes it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", command).strip().lower())


def _name(command: str) -> str:
    return _anchor(command)


if __name__ == "__main__":
    for name, text in files().items():
        place = _DOCS / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, "utf-8")
