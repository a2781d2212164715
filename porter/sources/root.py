"""Finding upstream's folder `module`, its files and its licence, from listings and bytes alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import PortError

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot

PREFERRED = "GPT_SoVITS/module"
INSTALLED = "tpu"  # the folder inside upstream's `module` that holds a port, ours or a hand-made one
_TORCH = re.compile(rb"^\s*(?:import|from)\s+torch\b", re.MULTILINE)
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
_METADATA = re.compile(r"^License(?:-Expression)?:[ \t]*(\S.*)$", re.MULTILINE)


def folder_of(path: str) -> str:
    """The folder that a file or folder lies in, "" at the top."""
    return path.rpartition("/")[0]


def find_module_root(snapshot: Snapshot) -> str:
    """The one folder named `module` with networks in it, at the top or one level down; PortError if none."""
    if _holds_networks(snapshot, PREFERRED):
        return PREFERRED
    folders = {folder_of(p) for p in snapshot.files() if p.endswith(".py") and p.count("/") in (1, 2)}
    named = sorted(f for f in folders if f.rpartition("/")[2] == "module")
    found = [folder for folder in named if _holds_networks(snapshot, folder)]
    if len(found) > 1:
        raise PortError(
            f"{snapshot.spec} has several folders named module ({', '.join(found)}); "
            "give the folder around the one that is meant"
        )
    if not found:
        hint = "; give the folder around this one" if _holds_networks(snapshot, "") else ""
        raise PortError(f"{snapshot.spec} holds no folder named module with torch sources in it{hint}")
    return found[0]


def _holds_networks(snapshot: Snapshot, folder: str) -> bool:
    names = [p for p in snapshot.files(folder) if folder_of(p) == folder and p.endswith(".py")]
    return any(has_torch(content) for content in snapshot.read_many(names).values())


def has_torch(content: bytes) -> bool:
    """Whether a file seems to import torch."""
    return _TORCH.search(content) is not None


def module_files(snapshot: Snapshot, root: str) -> tuple[str, ...]:
    """The Python files of the folder `module`, less ONNX exporters and a port that is installed there."""
    return tuple(
        path
        for path in snapshot.files(root)
        if path.endswith(".py") and not path.endswith("_onnx.py") and not path.startswith(f"{root}/{INSTALLED}/")
    )


def licence(snapshot: Snapshot) -> str:
    """The licence upstream states: the first line of its licence file, or what a wheel's metadata says."""
    for name in _LICENCE_FILES:
        content = read_if_there(snapshot, name)
        if content is not None:
            lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
            return next((line for line in lines if line), "")[:100]
    if snapshot.spec.startswith("pypi:"):
        for path in snapshot.files():
            if path.endswith(".dist-info/METADATA") and path.count("/") == 1:
                told = snapshot.read(path).decode("utf-8", "replace").replace("\r\n", "\n")
                found = _METADATA.search(told.partition("\n\n")[0])
                return found[1].strip()[:100] if found else ""
    return ""


def read_if_there(snapshot: Snapshot, path: str) -> bytes | None:
    """Contents of a file at the top, or None."""
    # A listing of the top would walk a whole checkout, data sets and all.
    try:
        return snapshot.read(path)
    except PortError:
        return None
