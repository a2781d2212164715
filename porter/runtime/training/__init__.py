"""What a trainer needs beside the networks. Each part is imported when it is asked for: few of them need torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checks import check_config as check_config
    from .checks import check_dataset as check_dataset
    from .checks import check_sample as check_sample
    from .checks import checked as checked
    from .checks import exists as exists
    from .checks import fitting as fitting
    from .checks import paired as paired
    from .checks import read_config as read_config
    from .checks import weights as weights
    from .files import save as save
    from .files import saved_together as saved_together
    from .files import settle as settle
    from .files import write as write
    from .host import host_copy as host_copy
    from .later import import_later as import_later
    from .loader import DeviceLoader as DeviceLoader
    from .plan import boundaries as boundaries
    from .sounds import decoded as decoded

_PLACES = {
    "DeviceLoader": "loader",
    "boundaries": "plan",
    "check_config": "checks",
    "check_dataset": "checks",
    "check_sample": "checks",
    "checked": "checks",
    "decoded": "sounds",
    "exists": "checks",
    "fitting": "checks",
    "host_copy": "host",
    "import_later": "later",
    "paired": "checks",
    "read_config": "checks",
    "save": "files",
    "saved_together": "files",
    "settle": "files",
    "weights": "checks",
    "write": "files",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
