"""Packages that are imported where they are first used."""

from importlib import import_module
from typing import Any


class import_later:  # noqa: N801  # reads as the statement that it stands for
    """What `import name` binds; the module is imported when something of it is first asked for.

    ImportError then, where it is not installed.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)
