"""What upstream's files offer to whoever imports them: plain values, functions and classes with their parameters."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

import torch

from porter.validate.cases import FAMILIES
from porter.validate.cases.base import Batch, Library, Part, Unavailable, host_case
from porter.validate.cases.files import told
from porter.validate.likeness import signatures
from porter.validate.settings import Settings

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_OWN = "interface"  # this file's family
_MISSING = "missing"


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _offered(module: ModuleType) -> dict[str, str]:
    """Public names that a file defines itself, and what each offers, in words that both sides have alike."""
    return {name: words for name, value in vars(module).items() if (words := _words(module, name, value))}


def _words(module: ModuleType, name: str, value: Any) -> str:
    """A plain value as it is, the parameters of a function or of a class's methods; "" for anything else."""
    if name.startswith("_"):
        return ""
    if _is_plain(value):
        return _text(value)
    if not (inspect.isclass(value) or inspect.isfunction(value)) or value.__module__ != module.__name__:
        return ""
    found = {method: str(parameters) for method, parameters in signatures(value).items()}
    return str(sorted({**found, **_members(value)}.items()))


def _members(value: Any) -> dict[str, str]:
    """Plain values of a class, and what an instance of it takes that is called."""
    if not inspect.isclass(value):
        return {}
    own = {key: _text(member) for key, member in vars(value).items() if not key.startswith("_") and _is_plain(member)}
    if inspect.isfunction(called := vars(value).get("__call__")):
        own["__call__"] = str(signatures(called)[""])
    return own


def _text(value: object) -> str:
    return str(sorted(map(repr, value))) if isinstance(value, (set, frozenset)) else repr(value)


def _files() -> list[str]:
    """The files of upstream that cases import, each once."""
    found = {
        part.module
        for family in FAMILIES
        if family != _OWN
        for case in importlib.import_module(f"{__package__}.{family}").CASES
        for part in case.parts
        if part.network is None
    }
    return sorted(found)


class _Interface:
    """One side's files, and the names in them that upstream has."""

    def __init__(self, library: Library, names: dict[str, list[str]]) -> None:
        self._library, self._names = library, names

    def compared(self) -> dict[str, dict[str, str]]:
        """What these names offer, by file."""
        found = {}
        for file, names in self._names.items():
            offered = _offered(self._library.module(file))
            found[file] = {name: offered.get(name, _MISSING) for name in names}
        return found


class _Whole(Part):
    """All files of one side together."""

    def member(self, library: Library) -> Any:
        """The side itself."""
        return library


def _names(library: Any, settings: Settings) -> dict[str, Any]:
    found = {}
    for file in _files():
        try:
            found[file] = sorted(_offered(library.module(file)))
        except (Unavailable, ModuleNotFoundError):
            continue
    return {"names": found}


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"unused": torch.zeros(1)}


CASES = (
    host_case(
        "interface",
        _Whole(
            "models",
            "files",
            _inputs,
            _names,
            call=lambda subject, given: told(subject.compared()),
            make=lambda library, arguments: _Interface(library, **arguments),
        ),
    ),
)
