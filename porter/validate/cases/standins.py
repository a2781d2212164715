"""Importing upstream's files where they want packages that are not installed and that no case needs.

Upstream's `data_utils.py` takes one function from a file of tools that imports a web interface and an audio decoder;
an older `f5_tts` imports torchaudio for a spectrogram that no model asks for. Such a package is stood in for by an
empty one: importing it succeeds, using it fails.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType


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
        for other in standing():
            if not self._allows(other):
                raise ModuleNotFoundError(f"No module named {other!r}", name=other)
        while True:
            before = frozenset(sys.modules)
            try:
                return importlib.import_module(name)
            except ModuleNotFoundError as error:
                _drop_orphans(before)
                missing = error.name or ""
                wanted = f"{name}.".startswith(f"{missing}.")  # what was asked for, not what it imports
                if wanted or "." in missing or missing in sys.modules or not self._allows(missing):
                    raise
                sys.modules[missing] = _StandIn(missing)

    def _allows(self, name: str) -> bool:
        return self._allowed is None or name in self._allowed


def standing() -> list[str]:
    """The packages that are stood in for in this process, sorted."""
    return sorted(name for name, module in sys.modules.items() if isinstance(module, _StandIn))


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

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"{self.__name__} is not installed, so it has no {name}")
