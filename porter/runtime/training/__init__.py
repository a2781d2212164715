"""What a trainer needs beside the networks. Each part is imported when it is asked for: few of them need torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.runtime.training.checks import check_config as check_config
    from porter.runtime.training.checks import check_dataset as check_dataset
    from porter.runtime.training.checks import check_sample as check_sample
    from porter.runtime.training.checks import checked as checked
    from porter.runtime.training.checks import exists as exists
    from porter.runtime.training.checks import fitting as fitting
    from porter.runtime.training.checks import paired as paired
    from porter.runtime.training.checks import read_config as read_config
    from porter.runtime.training.checks import weights as weights
    from porter.runtime.training.files import save as save
    from porter.runtime.training.files import saved_together as saved_together
    from porter.runtime.training.files import settle as settle
    from porter.runtime.training.files import write as write
    from porter.runtime.training.host import host_copy as host_copy
    from porter.runtime.training.later import import_later as import_later
    from porter.runtime.training.loader import DeviceLoader as DeviceLoader
    from porter.runtime.training.plan import boundaries as boundaries
    from porter.runtime.training.sounds import decoded as decoded

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
