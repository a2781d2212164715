"""Importing upstream's files where they want packages that are not installed and that no case needs.

Upstream's `data_utils.py` takes one function from a file of tools that imports a web interface and an audio decoder;
an older `f5_tts` imports torchaudio for a spectrogram that no model asks for. Such a package is stood in for by an
empty one: importing it succeeds, using it fails.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


class StandIns:
    """Which packages may be stood in for."""

    def __init__(self, allowed: Iterable[str] | None = None) -> None:
        """`allowed` are the only ones that may be; None is for whatever is missing.

        Upstream's own files are all there when upstream runs, so whatever is missing then belongs to others. A port
        that misses something else reaches for an unported sibling, which is a finding.
        """
        self._allowed = None if allowed is None else frozenset(allowed)

    def import_module(self, name: str) -> ModuleType:
        """Import `name`, with stand-ins where allowed. ModuleNotFoundError as ever."""
        return self.run(lambda: importlib.import_module(name), name)

    def run(self, function: Callable[[], T], name: str = "") -> T:
        """What `function` gives, run again with a stand-in for each package that it misses; `name` gets none."""
        for other in standing():
            if not self._allows(other):
                raise ModuleNotFoundError(f"No module named {other!r}", name=other)
        while True:
            before = frozenset(sys.modules)
            try:
                return function()
            except ModuleNotFoundError as error:
                _drop_orphans(before)
                missing = error.name or ""
                wanted = bool(name) and f"{name}.".startswith(f"{missing}.")  # what was asked for, not what it imports
                inner = "." in missing and not isinstance(sys.modules.get(missing.partition(".")[0]), _StandIn)
                if wanted or inner or missing in sys.modules or not self._allows(missing):
                    raise
                sys.modules[missing] = _StandIn(missing) if "." not in missing else _InnerStandIn(missing)

    def _allows(self, name: str) -> bool:
        return self._allowed is None or name.partition(".")[0] in self._allowed


def standing() -> list[str]:
    """The packages that are stood in for in this process, sorted."""
    return sorted(name for name, module in sys.modules.items() if isinstance(module, _StandIn) and "." not in name)


def _drop_orphans(before: frozenset[str]) -> None:
    """Forget new modules whose package failed after they were imported: none of a namespace can live on without it."""
    for name in sorted(sys.modules.keys() - before):  # a package before what is in it
        parent = name.rpartition(".")[0]
        if parent and parent not in sys.modules:
            del sys.modules[name]


class _StandIn(ModuleType):
    """A package that is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__: list[str] = []  # a package, so that the import system asks for what is in it

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"{self.__name__} is not installed, so it has no {name}")


class _InnerStandIn(_StandIn):
    """A module of a package that is not installed; its classes can be built, as a metric that training alone asks."""

    def __getattr__(self, name: str) -> object:
        if not name[:1].isupper():
            return super().__getattr__(name)

        def called(*args: object, **kwargs: object) -> object:
            raise AttributeError(f"{self.__name__} is not installed, so its {name} computes nothing")

        def made(*args: object, **kwargs: object) -> object:
            return called

        return made
