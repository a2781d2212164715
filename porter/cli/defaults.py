"""What a configuration means for each command: the values of options and arguments that were not given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .configuration import Configuration

_RULES = ("rules", "select", "ignore", "sources")
_PACKAGE = ("upstream", "directory")

# By command, the settings that it takes; `directory` is the folder of port.json.
_TAKES: Mapping[str, tuple[str, ...]] = {
    "generate": ("upstream", "out", "install", "decisions", *_RULES),
    "check": (*_PACKAGE, "decisions", *_RULES),
    "diff": ("directory",),
    "review": ("directory", "decisions"),
    "status": (*_PACKAGE, "decisions", "rules"),
    "validate": (*_PACKAGE, "rules"),
    "record": ("upstream", "sources"),
    "bench": _PACKAGE,
    "estimate": _PACKAGE,
    "rules": ("rules",),
}
_PARAMETERS = {"rules": "folders"}  # where a command's parameter is not called as the setting is


def defaults(configuration: Configuration) -> dict[str, dict[str, object]]:
    """click's `default_map`: by command, the value of each parameter that the configuration sets."""
    values: dict[str, object] = {
        "upstream": configuration.upstream,
        "out": configuration.out,
        "directory": _directory(configuration),
        "install": configuration.install or None,
        "decisions": configuration.decisions,
        "rules": configuration.rules or None,
        "select": configuration.select or None,
        "ignore": configuration.ignore or None,
        "sources": configuration.sources or None,
    }
    return {
        command: {_PARAMETERS.get(name, name): values[name] for name in names if values[name] is not None}
        for command, names in _TAKES.items()
    }


def _directory(configuration: Configuration) -> Path | None:
    """Where the package is: below `out`, or somewhere in the checkout that it is installed into."""
    if configuration.install and configuration.upstream is not None:
        return Path(configuration.upstream)
    return configuration.out
