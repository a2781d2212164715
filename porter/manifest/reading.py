"""Reading port.json, and refusing what is damaged or not ours."""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints, is_typeddict

from ..errors import PortError
from ..store import MANIFEST, TOOL, Place, recover
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
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PortError(f"cannot read {path}: {error.strerror or error}") from None
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
    return cast(Manifest, told)


def _mismatch(value: Any, kind: Any, name: str) -> str:
    """The first place where a value from JSON is not what a type says, or ""."""
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return name or "the whole"
        found = ((k, t) for k, t in get_type_hints(kind).items() if k in value or k in kind.__required_keys__)
        return next((w for k, t in found if (w := _mismatch(value.get(k, ...), t, f"{name}.{k}".lstrip(".")))), "")
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        if not isinstance(value, dict):
            return name
        return next((w for k, v in value.items() if (w := _mismatch(v, arguments[1], f"{name}.{k}"))), "")
    if origin is list:
        if not isinstance(value, list):
            return name
        return next((w for i, v in enumerate(value) if (w := _mismatch(v, arguments[0], f"{name}[{i}]"))), "")
    if origin is Literal:
        return "" if value in arguments else name
    if origin is UnionType:
        return "" if any(not _mismatch(value, a, name) for a in arguments) else name
    return "" if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else name
