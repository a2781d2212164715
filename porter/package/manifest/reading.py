"""Reading port.json, and refusing what is damaged or not ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints, is_typeddict

from ...errors import PortError
from ...inputs.regular import read_regular
from ..store import MANIFEST, PACKAGE, TOOL, Place, recover
from .records import SCHEMA, Manifest


def read_package(place: Place) -> Manifest:
    """port.json of the package at `place`, after finishing what a killed run left. PortError without one."""
    recover(place)
    manifest = read(place.root)
    if manifest is None:
        raise PortError(f"no {MANIFEST} in {place.root}; 'sovits-port generate' makes a package")
    return manifest


def read(folder: Path) -> Manifest | None:
    """The manifest in a folder, or None where there is no port.json. PortError where it is damaged."""
    path = folder / MANIFEST
    try:
        content = read_regular(path, folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PortError(f"cannot read {path}: {error.strerror or error}") from None
    return _checked(path, content)


@lru_cache(maxsize=1)  # a command that looks for its package and then reads it needs to check it once
def _checked(path: Path, content: bytes) -> Manifest:
    """What the bytes of port.json say, which nobody may change. PortError where they are damaged."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        raise PortError(f"{path} is damaged: it is not JSON; delete it if the package beside it may go") from None
    if not isinstance(told, dict) or told.get("tool") != TOOL:
        raise PortError(f"{path} is not a manifest of {TOOL}")
    if told.get("schema") != SCHEMA:
        raise PortError(
            f"{path} has schema {told.get('schema')!r} and this version of {TOOL} reads {SCHEMA}; "
            "generate with --force to replace the package"
        )
    wrong = _mismatch(told, Manifest, "")
    if wrong:
        raise PortError(f"{path} is damaged: {wrong} is missing or of the wrong type; generate with --force")
    manifest = cast(Manifest, told)
    wrong = _nonsense(manifest)
    if wrong:
        raise PortError(f"{path} is damaged: {wrong}; generate with --force")
    return manifest


def is_inside(name: str) -> bool:
    """Whether a name of a file, from port.json, stays below the folder that it is relative to."""
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")


def _nonsense(manifest: Manifest) -> str:
    """What port.json says that cannot be, such as a file outside the package; "" where it makes sense."""
    prefix = f"{manifest['package']}/"
    if manifest["package"] != PACKAGE:
        return f"the package is {manifest['package']!a}, and not {PACKAGE}"
    for name, record in manifest["files"].items():
        if not is_inside(name) or not (name.startswith(prefix) or name == f"{PACKAGE.partition('/')[0]}/__init__.py"):
            return f"{name!a} is no place in the package"
        if record["upstream"] is not None and not is_inside(record["upstream"]):
            return f"{record['upstream']!a} is no place upstream"
        if record["header_at"] < 0 or record["header_lines"] < 0:
            return f"the header of {name!a} has no place"
    known = {(record["upstream"], name.removeprefix(prefix)) for name, record in manifest["files"].items()}
    for edit in (*manifest["edits"], *manifest["decisions"]["undecided"]):
        if (edit["file"], edit["target"]) not in known:
            return f"an edit tells of {edit['file']!a}, which is not the source of {edit['target']!a}"
        for first, last in (("line", "end_line"), ("target_line", "target_end_line")):
            if not 1 <= edit[first] <= edit[last]:  # type: ignore[literal-required]  # four names of lines
                return f"an edit of {edit['file']!a} has lines that cannot be"
    for hazard in manifest["hazards"]["list"]:
        if (hazard["file"], hazard["target"]) not in known or hazard["line"] < 1 or hazard["target_line"] < 1:
            return f"a hazard tells of {hazard['file']!a}, line {hazard['line']}, which is no place in the package"
    return ""


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a typed dictionary; to evaluate their types at each record takes longer than all else."""
    return get_type_hints(kind)


def _mismatch(value: Any, kind: Any, name: str) -> str:
    """The first place where a value from JSON is not what a type says, or ""."""
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return name or "the whole"
        fields = ((k, t) for k, t in _fields(kind).items() if k in value or k in kind.__required_keys__)
        return _first((value.get(k, ...), t, f"{name}.{k}".lstrip(".")) for k, t in fields)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        parts = ((v, arguments[1], f"{name}.{k}") for k, v in value.items()) if isinstance(value, dict) else None
        return name if parts is None else _first(parts)
    if origin is list:
        parts = ((v, arguments[0], f"{name}[{i}]") for i, v in enumerate(value)) if isinstance(value, list) else None
        return name if parts is None else _first(parts)
    return "" if _is_plain(value, kind, origin, arguments) else name


def _first(parts: Iterable[tuple[Any, Any, str]]) -> str:
    """The first mismatch of several values, types and places."""
    return next((where for part in parts if (where := _mismatch(*part))), "")


def _is_plain(value: Any, kind: Any, origin: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether a value is what a type without parts says, or a choice of types."""
    if origin is Literal:
        return value in arguments
    if origin is UnionType:
        return any(not _mismatch(value, a, "it") for a in arguments)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
