"""Where each side's trainer is imported from: upstream's files laid out in a folder, and a generated package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from porter.errors import PortError
from porter.inputs.sources import collect
from porter.inputs.upstream import Snapshot
from porter.validate.tree import PORT_PACKAGE

_READ = (".py", ".json")


@dataclass(frozen=True)
class Side:
    """How a trainer is imported."""

    name: str  # upstream or port
    trainer: str  # its module, such as `s2_train`
    package: str  # of the modules that it trains, such as `module`
    search: tuple[str, ...]  # entries for sys.path, first wins


def lay_out_upstream(snapshot: Snapshot, folder: Path, trainer: str = "s2_train") -> Side:
    """Write upstream's Python files and what they read to `folder`; how to import its trainer.

    PortError where it has none of that name.
    """
    prefix = collect(snapshot).prefix
    files = [name for name in snapshot.files() if name.endswith(_READ)]
    wanted = [name for name in files if name.startswith((f"{prefix}/" if prefix else "", "tools/"))]
    if (f"{prefix}/" if prefix else "") + f"{trainer}.py" not in files:
        raise PortError(f"{snapshot.spec} has no {trainer}.py beside its folder module")
    snapshot.materialize(wanted, folder)
    return Side("upstream", trainer, "module", (str(folder / prefix), str(folder)))


def port_side(upstream: Side, generated: Path) -> Side:
    """How to import the ported trainer from the folder that `generate` wrote, with `upstream` behind it.

    PortError where there is no such trainer.
    """
    name = f"{PORT_PACKAGE}.trainers.{upstream.trainer}"
    if not generated.joinpath(*name.split(".")).with_suffix(".py").is_file():
        raise PortError(f"{generated} has no {name}")
    return Side("port", name, PORT_PACKAGE, (str(generated), *upstream.search))
