"""The configuration that all commands share: `sovits-port.toml`, or `[tool.sovits-port]` in `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import PortError
from ..inputs.regular import read_regular

NAME = "sovits-port.toml"
PROJECT = "pyproject.toml"
TABLE = ("tool", "sovits-port")  # in pyproject.toml

KEYS = ("upstream", "out", "sources", "rules", "select", "ignore", "decisions", "install")
_LISTS = ("sources", "rules", "select", "ignore")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says. Paths in it are relative to its folder, and here to the working directory or absolute."""

    file: Path
    upstream: str | None = None
    out: Path | None = None
    sources: tuple[str, ...] = ()  # folders of upstream, as they are called there
    rules: tuple[Path, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    decisions: Path | None = None
    install: bool = False


def find(start: Path) -> Configuration | None:
    """The configuration of the nearest folder, from `start` upwards, that has one. PortError where it is damaged."""
    for folder in (start.absolute(), *start.absolute().parents):
        own, project = folder / NAME, folder / PROJECT
        if own.is_file():
            return read(own)
        if project.is_file():
            found = _read_project(project)
            if found is not None:
                return found
    return None


def read(file: Path) -> Configuration:
    """The configuration in a file. PortError, naming it, where it is damaged or holds what nobody knows."""
    if file.name == PROJECT:
        found = _read_project(file)
        if found is None:
            raise PortError(f"{file} has no table [{'.'.join(TABLE)}]")
        return found
    return _configuration(file, _load(file))


def _read_project(file: Path) -> Configuration | None:
    table: Any = _load(file)
    for name in TABLE:
        table = table.get(name) if isinstance(table, Mapping) else None
    if table is None:
        return None
    if not isinstance(table, Mapping):
        raise PortError(f"{file}: {'.'.join(TABLE)} is no table")
    return _configuration(file, table)


def _load(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_regular(file).decode("utf-8-sig"))
    except OSError as error:
        raise PortError(f"cannot read {file}: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PortError(f"{file} is not TOML: {error}") from None


def _configuration(file: Path, table: Mapping[str, Any]) -> Configuration:
    for key, value in table.items():
        _refuse_other(file, key, value)
    told = {key: table[key] for key in KEYS if key in table}
    folder = file.parent
    if "upstream" in told:
        told["upstream"] = _placed_upstream(folder, told["upstream"])
    for key in ("out", "decisions"):
        if key in told:
            told[key] = _placed(folder, told[key])
    told["rules"] = tuple(_placed(folder, one) for one in told.get("rules", ()))
    for key in ("sources", "select", "ignore"):
        told[key] = tuple(told.get(key, ()))
    return Configuration(file, **told)


def _refuse_other(file: Path, key: str, value: object) -> None:
    """PortError for what is no setting, and for a value of another type than a setting has."""
    if key not in KEYS:
        near = get_close_matches(key, KEYS, n=1)
        raise PortError(f"{file} has {key!r}, which is no setting; {_meant(near)}")
    if key in _LISTS:
        kind = "a list of texts"
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif key == "install":
        kind, fits = "true or false", isinstance(value, bool)
    else:
        kind, fits = "a text", isinstance(value, str)
    if not fits:
        raise PortError(f"{file}: {key} is {value!r}, and has to be {kind}")


def _meant(near: list[str]) -> str:
    return f"did you mean {near[0]!r}?" if near else f"settings are {', '.join(KEYS)}"


def _placed(folder: Path, path: str) -> Path:
    """A path of the file's folder, as the working directory has it where that is shorter to read."""
    whole = folder.absolute() / Path(path).expanduser()
    try:
        return whole.relative_to(Path.cwd())
    except ValueError:
        return whole


def _placed_upstream(folder: Path, text: str) -> str:
    """UPSTREAM, where it is a path one of the file's folder."""
    from ..inputs.upstream.spec import is_path

    return str(_placed(folder, text)) if is_path(text) else text
