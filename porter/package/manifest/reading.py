"""Reading port.json, and refusing what is damaged or not ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from ...errors import PortError
from ...inputs.regular import read_regular
from ..store import MANIFEST, PACKAGE, TOOL, Place, recover
from .records import SCHEMA, EditRecord, FileRecord, HazardRecord, Manifest


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
        told = json.loads(content)  # which takes names that are not UTF-8, as msgspec does not
    except (ValueError, RecursionError):
        raise PortError(f"{path} is damaged: it is not JSON; delete it if the package beside it may go") from None
    if not isinstance(told, dict) or told.get("tool") != TOOL:
        raise PortError(f"{path} is not a manifest of {TOOL}")
    if told.get("schema") != SCHEMA:
        raise PortError(
            f"{path} has schema {told.get('schema')!r} and this version of {TOOL} reads {SCHEMA}; "
            "generate with --force to replace the package"
        )
    import msgspec  # late: no package is there when the first one is made

    try:
        manifest = msgspec.convert(told, Manifest)
    except (msgspec.ValidationError, RecursionError) as error:
        raise PortError(f"{path} is damaged: {error}; generate with --force") from None
    wrong = _nonsense(manifest)
    if wrong:
        raise PortError(f"{path} is damaged: {wrong}; generate with --force")
    return manifest


def is_inside(name: str) -> bool:
    """Whether a name of a file, from port.json, stays below the folder that it is relative to."""
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")


def _nonsense(manifest: Manifest) -> str:
    """What port.json says that cannot be, such as a file outside the package; "" where it makes sense."""
    if manifest["package"] != PACKAGE:
        return f"the package is {manifest['package']!a}, and not {PACKAGE}"
    prefix = f"{PACKAGE}/"
    known = {(record["upstream"], name.removeprefix(prefix)) for name, record in manifest["files"].items()}
    told = itertools.chain(
        (_nonsense_of_file(name, record) for name, record in manifest["files"].items()),
        (_nonsense_of_edit(edit, known) for edit in (*manifest["edits"], *manifest["decisions"]["undecided"])),
        (_nonsense_of_hazard(hazard, known) for hazard in manifest["hazards"]["list"]),
    )
    return next(filter(None, told), "")


def _nonsense_of_file(name: str, record: FileRecord) -> str:
    within = name.startswith(f"{PACKAGE}/") or name == f"{PACKAGE.partition('/')[0]}/__init__.py"
    if not is_inside(name) or not within:
        return f"{name!a} is no place in the package"
    if record["upstream"] is not None and not is_inside(record["upstream"]):
        return f"{record['upstream']!a} is no place upstream"
    return f"the header of {name!a} has no place" if record["header_at"] < 0 or record["header_lines"] < 0 else ""


def _nonsense_of_edit(edit: EditRecord, known: Collection[tuple[str | None, str]]) -> str:
    if (edit["file"], edit["target"]) not in known:
        return f"an edit tells of {edit['file']!a}, which is not the source of {edit['target']!a}"
    lines = 1 <= edit["line"] <= edit["end_line"] and 1 <= edit["target_line"] <= edit["target_end_line"]
    return "" if lines else f"an edit of {edit['file']!a} has lines that cannot be"


def _nonsense_of_hazard(hazard: HazardRecord, known: Collection[tuple[str | None, str]]) -> str:
    if (hazard["file"], hazard["target"]) not in known or hazard["line"] < 1 or hazard["target_line"] < 1:
        return f"a hazard tells of {hazard['file']!a}, line {hazard['line']}, which is no place in the package"
    return ""
