"""Importing upstream's files where programs beside them want packages that no case needs.

Upstream's `data_utils.py` takes one function from a file of tools that imports a web interface and an audio decoder.
Its collate classes use neither, so a package that is not installed is stood in for by an empty one.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType


def import_module(name: str, package: str) -> ModuleType:
    """Import `name`; packages that are not installed, and that only files outside `package` import, are stood in for.

    What `package` itself imports has to be there: should a port reach for an unported sibling, that is a finding.
    """
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            importer = _importer(error.__traceback__)
            inside = f"{importer}.".startswith(f"{package}.")
            if not importer or inside or "." in missing or not missing or missing in sys.modules:
                raise
            sys.modules[missing] = _StandIn(missing)


class _StandIn(ModuleType):
    """A package that is not installed: importing it succeeds, using it does not."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"{self.__name__} is not installed, so it has no {name}")


def _importer(trace: TracebackType | None) -> str:
    """The module whose import statement failed; "" where it was not one of Python source."""
    name = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith("importlib.") and module != __name__:
            name = module
        trace = trace.tb_next
    return name
