"""The trainers of a package: how to start one, and what it takes that is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..installed import absent

if TYPE_CHECKING:
    from ..manifest import Manifest


def print_missing(console: Console, manifest: Manifest) -> None:
    """Print a line for each trainer that imports what is not installed here."""
    needs = manifest["needs"]
    for trainer, packages in needs["trainers"].items():
        missing = absent(packages)
        if missing:
            told = f"{trainer} also imports {', '.join(missing)}: not installed here"
            console.print(Text(told, style="yellow"), soft_wrap=True)


def modules(manifest: Manifest) -> list[str]:
    """The import names of the trainers inside the package, such as `module.tpu.trainers.s2_train`."""
    places = {record["upstream"]: name for name, record in manifest["files"].items() if record["upstream"]}
    return [places[trainer].removesuffix(".py").replace("/", ".") for trainer in manifest["needs"]["trainers"]]
