"""The trainers of a package: how to start one, and what it takes that is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..machine.installed import absent, install

if TYPE_CHECKING:
    from ..package.manifest import Manifest


_OF_XLA = ("torch", "torch_xla")  # `check` needs neither, and `doctor` tells of them


def print_missing(console: Console, manifest: Manifest) -> None:
    """Print a line for the package, and for each of its trainers, that imports what is not installed here."""
    needs = manifest["needs"]
    lacking = absent(name for name in needs["third_party"] if name not in _OF_XLA)
    if lacking:
        told = f"the package imports {', '.join(lacking)}: not installed here ({install(lacking)})"
        console.print(Text(told, style="yellow"), soft_wrap=True)
    for trainer, packages in needs["trainers"].items():
        missing = absent(packages)
        if missing:
            told = f"{trainer} also imports {', '.join(missing)}: not installed here ({install(missing)})"
            console.print(Text(told, style="yellow"), soft_wrap=True)


def modules(manifest: Manifest) -> list[str]:
    """The import names of the trainers inside the package, such as `module.tpu.trainers.s2_train`."""
    places = {record["upstream"]: name for name, record in manifest["files"].items() if record["upstream"]}
    return [places[trainer].removesuffix(".py").replace("/", ".") for trainer in manifest["needs"]["trainers"]]
