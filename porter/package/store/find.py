"""Finding a package on disk: in the folder that generate wrote to, or in a checkout that it was installed into."""

from __future__ import annotations

import json
from pathlib import Path

from porter.errors import PortError
from porter.package.store.place import MANIFEST, TOOL

_LEVELS = ("*", "*/*")  # of a checkout, where the folder may lie that holds its `module`


def find_package(folder: Path) -> Path | None:
    """The folder of port.json: `folder`, or the one below it that `--install` chose. None where there is no package.

    PortError where several are installed below `folder`.
    """
    if (folder / MANIFEST).is_file():
        return folder
    found = [
        path.parent for level in _LEVELS for path in sorted(folder.glob(f"{level}/{MANIFEST}")) if _installed(path)
    ]
    if len(found) > 1:
        raise PortError(f"{' and '.join(map(str, found))} both hold an installed package; give one of them")
    return found[0] if found else None


def _installed(manifest: Path) -> bool:
    try:
        told = json.loads(manifest.read_bytes())
        return told["tool"] == TOOL and bool(told["options"]["install"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return False
