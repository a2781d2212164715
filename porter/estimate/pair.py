"""The packages that hold the TPU compiler: which are here, and which torch_xla itself names for a TPU machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

PACKAGES = ("jax", "jaxlib", "libtpu")
EXTRAS = ("tpu", "pallas")  # of torch_xla, which name them

# Releases of libtpu without a wheel for Python 3.13, and those that stand in for them there.
_WITH_WHEEL = {"0.0.21": "0.0.21.1"} if sys.version_info >= (3, 13) else {}


def installed() -> dict[str, str]:
    """Versions of those that are here."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        for called in (name, f"{name}-nightly"):  # as libtpu is called beside torch_xla 2.5
            with contextlib.suppress(metadata.PackageNotFoundError):
                found.setdefault(name, metadata.version(called))
    return found


def named_by_torch_xla() -> dict[str, str]:
    """Versions that the installed torch_xla names, as far as this Python has wheels of them; {} if none.

    `pip install 'torch_xla[tpu,pallas]'` brings them.
    """
    try:
        found = _named(metadata.requires("torch_xla") or ())
    except metadata.PackageNotFoundError:
        return {}
    return {name: _WITH_WHEEL.get(version, version) for name, version in found.items()}


def described(versions: Mapping[str, str]) -> str:
    """A pair in words: "libtpu 0.0.21 with jax 0.7.1", and jaxlib's version where that is another."""
    jax, jaxlib = versions.get("jax", "none"), versions.get("jaxlib", "none")
    more = "" if jax == jaxlib else f" and jaxlib {jaxlib}"
    return f"libtpu {versions.get('libtpu', 'none')} with jax {jax}{more}"


def to_install(torch_xla: str) -> str:
    """What to type on a TPU machine."""
    if _WITH_WHEEL:  # the extra cannot be installed
        packages = " ".join(f"{name}=={version}" for name, version in named_by_torch_xla().items())
        return f"pip install torch_xla=={torch_xla} {packages}"
    return f"pip install 'torch_xla[{','.join(EXTRAS)}]=={torch_xla}'"


def _named(requirements: Iterable[str]) -> dict[str, str]:
    found = {}
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        name = requirement.name.removesuffix("-nightly")
        if name not in PACKAGES or requirement.marker is None:
            continue
        if any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            exact = [spec.version for spec in requirement.specifier if spec.operator == "=="]
            if exact:
                found[name] = exact[0]
    return found
