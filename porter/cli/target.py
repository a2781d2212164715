"""What a command works on: the package that is meant, and the upstream that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
from click.core import ParameterSource

from ..errors import PortError
from ..package.store import find_package, remembered

_OUT = Path("generated")
_NO_UPSTREAM = "give UPSTREAM, or let `sovits-port init UPSTREAM` write it down once"


def upstream_of(upstream: str | None) -> str:
    """UPSTREAM as it was given or configured. PortError where it was not."""
    if upstream is None:
        raise PortError(_NO_UPSTREAM)
    return upstream


def directory_of(directory: Path | None) -> Path:
    """The folder of port.json that is meant by DIR, given or configured.

    Without one it is `generated`, or where `--install` put the package into the checkout that one stands in.
    """
    if directory is not None:
        return find_package(directory) or directory
    return _OUT if _OUT.exists() else find_package(Path()) or _OUT


def package_of(context: click.Context, upstream: str | None, directory: Path | None) -> tuple[str, Path]:
    """UPSTREAM, and the folder of port.json, of a command that takes both and can do without either.

    One argument alone is the package where a folder holds one. What is not given is what the package was
    made from, or what is configured. PortError where nothing tells.
    """
    given = {name for name in ("upstream", "directory") if _is_given(context, name)}
    if given == {"upstream"}:
        assert upstream is not None
        found = find_package(Path(upstream))
        if found is not None and names_package(upstream):
            configured = cast("str | None", context.lookup_default("upstream"))
            return upstream_of(made_from(found) or configured), found
        return upstream, found or directory_of(directory)
    place = directory_of(directory)
    return upstream_of(upstream or made_from(place)), place


def names_package(upstream: str) -> bool:
    """Whether UPSTREAM is the folder of a package, and not a checkout with one in it."""
    return find_package(Path(upstream)) == Path(upstream)


def made_from(folder: Path) -> str | None:
    """UPSTREAM as the package in a folder was made from it; None where nothing tells."""
    from ..package.manifest import read

    manifest = read(folder)
    return None if manifest is None else remembered(folder, manifest["upstream"]["spec"]).upstream


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
