"""What a trainer needs beside the networks. Each part is imported when it is asked for: few of them need torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .files import save as save
    from .files import saved_together as saved_together
    from .files import settle as settle
    from .files import write as write

_PLACES = {"save": "files", "saved_together": "files", "settle": "files", "write": "files"}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
