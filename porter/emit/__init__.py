"""The emitted package as bytes: rewritten files, the runtime they call, and import paths that users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import PortError
from ..sources import Sources
from ..store import PACKAGE
from .header import Header, headed
from .parts import Emitted, Origin, import_paths, runtime_files

if TYPE_CHECKING:
    from ..engine import Rewrites

__all__ = ["EXTENDED", "PACKAGE", "Emitted", "Header", "Origin", "layout"]

EXTENDED = "module/__init__.py"
_EXTEND = """from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)  # upstream's `module`, later on sys.path, is found too
"""


def layout(
    rewrites: Rewrites, sources: Sources, *, spec: str, revision: str, install: bool = False
) -> dict[str, Emitted]:
    """All files of the package by their place below the output folder, sorted.

    `install` leaves out what only a folder of its own needs. PortError when upstream has a file where
    one of ours has to go.
    """
    files: dict[str, Emitted] = {}
    places: dict[str, str] = {}
    for path, rewritten in rewrites.files.items():
        target = sources.texts[path][0]
        places[target] = path
        header = Header.of_upstream(spec, revision, path, sources.licence)
        files[f"{PACKAGE}/{target}"] = headed(path, rewritten.text, header, sources.encodings[path], Origin.REWRITTEN)
    for target, text in runtime_files().items():
        _refuse_clash(target, places)
        files[f"{PACKAGE}/{target}"] = headed(None, text, Header.of_runtime(), "utf-8", Origin.RUNTIME)
    own = Header.of_package(spec, revision)
    for target, text in import_paths(rewrites, places).items():
        files[f"{PACKAGE}/{target}"] = headed(None, text, own, "utf-8", Origin.IMPORT_PATH)
    for target in _missing_packages(files):
        files[target] = headed(None, "", own, "utf-8", Origin.PACKAGE)
    if not install:
        files[EXTENDED] = headed(None, _EXTEND, own, "utf-8", Origin.PACKAGE)
    return dict(sorted(files.items()))


def _refuse_clash(target: str, places: Mapping[str, str]) -> None:
    """PortError when one of upstream's files has the import name of a file of the runtime."""
    name = target.partition("/")[0].removesuffix(".py")
    for place, path in places.items():
        if place.partition("/")[0].removesuffix(".py") == name:
            raise PortError(f"upstream has {path}, where the emitted package needs {target} for its own runtime")


def _missing_packages(files: Mapping[str, Emitted]) -> list[str]:
    """The `__init__.py` of every folder of the package that has none."""
    folders = {PACKAGE}
    for name in files:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:i]) for i in range(2, len(parts) + 1)}
    return sorted(f"{folder}/__init__.py" for folder in folders if f"{folder}/__init__.py" not in files)
