"""Which device the port is to use: what the program chose, else SOVITS_PORT_DEVICE."""

import os

_DEVICES = {"xla": "xla", "tpu": "xla", "cpu": "cpu"}
_chosen: str | None = None


def use_device(name: str | None) -> None:
    """Choose "xla" (or "tpu") or "cpu"; None goes back to SOVITS_PORT_DEVICE. ValueError for others."""
    global _chosen
    _chosen = None if name is None else _known_device(name)


def wanted() -> str:
    """The device that is asked for, "xla" or "cpu". ValueError where the environment names another."""
    return _chosen or _known_device(os.environ.get("SOVITS_PORT_DEVICE") or "xla")


def _known_device(name: str) -> str:
    if name.lower() not in _DEVICES:
        raise ValueError(f"unknown device {name!r}: choose one of {', '.join(map(repr, _DEVICES))}")
    return _DEVICES[name.lower()]
