"""The emitted package as bytes: rewritten files, the runtime they call, and import paths that users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...inputs.sources import Sources, join
from ..store import PACKAGE
from .closed import check_closed
from .header import Header, headed
from .parts import Emitted, Origin, import_paths, runtime_files, runtime_paths

if TYPE_CHECKING:
    from ...codemod.engine import Rewrites

__all__ = ["EXTENDED", "PACKAGE", "Emitted", "Header", "Origin", "layout"]

EXTENDED = "module/__init__.py"
_EXTEND = """from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)  # upstream's `module`, later on sys.path, is found too
"""


def layout(
    rewrites: Rewrites, sources: Sources, *, spec: str, revision: str, install: bool = False
) -> dict[str, Emitted]:
    """All files of the package by their place below the output folder, sorted.

    `install` leaves out what only a folder of its own needs. PortError for an import that finds nothing there.
    """
    files: dict[str, Emitted] = {}
    places: dict[str, str] = {}
    for path, rewritten in rewrites.files.items():
        target = sources.texts[path][0]
        places[target] = path
        header = Header.of_upstream(spec, revision, path, sources.licence)
        files[f"{PACKAGE}/{target}"] = headed(path, rewritten.text, header, sources.encodings[path], Origin.REWRITTEN)
    runtime = sources.arrangement.runtime
    for target, text in runtime_files().items():
        files[f"{PACKAGE}/{join(runtime, target)}"] = headed(None, text, Header.of_runtime(), "utf-8", Origin.RUNTIME)
    own = Header.of_package(spec, revision)
    for target, text in {**import_paths(rewrites, places), **runtime_paths(runtime, places)}.items():
        files[f"{PACKAGE}/{target}"] = headed(None, text, own, "utf-8", Origin.IMPORT_PATH)
    for target in _missing_packages(files):
        text = f"from ..{runtime}.utils import *  # noqa: F403\n" if target == f"{PACKAGE}/utils/__init__.py" else ""
        files[target] = headed(None, text if runtime else "", own, "utf-8", Origin.PACKAGE)
    if not install:
        files[EXTENDED] = headed(None, _EXTEND, own, "utf-8", Origin.PACKAGE)
    check_closed({name.removeprefix(f"{PACKAGE}/"): emitted for name, emitted in files.items()}, sources)
    return dict(sorted(files.items()))


def _missing_packages(files: Mapping[str, Emitted]) -> list[str]:
    """The `__init__.py` of every folder of the package that has none."""
    folders = {PACKAGE}
    for name in files:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:i]) for i in range(2, len(parts) + 1)}
    # A module has the name of its folder: with an `__init__.py` the folder would be imported in its place.
    hidden = [folder for folder in folders if f"{folder}.py" in files]
    folders = {f for f in folders if not any(f"{f}/".startswith(f"{module}/") for module in hidden)}
    return sorted(f"{folder}/__init__.py" for folder in folders if f"{folder}/__init__.py" not in files)
