"""Where each ported file goes inside the emitted package; upstream's names win, the runtime steps aside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .layout import TRAINERS, Layout

_ASIDE = "tpu_runtime"  # the folder of the runtime where upstream has one of its names
_AROUND = "around"  # the folder of files from elsewhere, where the main folder has their place
RUNTIME = frozenset(
    path.name.removesuffix(".py")
    for path in (Path(__file__).parents[2] / "runtime").iterdir()
    if not path.name.startswith("__")
)


@dataclass(frozen=True, slots=True)
class Placed:
    """Places inside the emitted package."""

    targets: Mapping[str, str]  # path upstream → place
    runtime: str  # the folder of the runtime, "" for the top of the package

    @classmethod
    def of(cls, layout: Layout, ported: Collection[str], trainers: Collection[str]) -> Placed:
        """The places of `ported`; `trainers` are those of them that train, with what goes with them."""
        plain = {path: layout.place(path) for path in ported if path not in trainers or not layout.beside(path)}
        folder = _free(TRAINERS, _tops(plain.values()))
        targets: dict[str, str] = {}
        taken: set[str] = set()
        for path in sorted(ported, key=lambda p: (not layout.inside(p), p)):
            target = plain.get(path) or layout.place(path, folder)
            while target in taken:
                target = f"{_AROUND}/{target}"
            taken.add(target)
            targets[path] = target
        tops = _tops(targets.values())
        return cls(targets, _free(_ASIDE, tops) if tops & RUNTIME else "")


def _tops(targets: Iterable[str]) -> frozenset[str]:
    """The names that places have at the top of the package."""
    return frozenset(target.partition("/")[0].removesuffix(".py") for target in targets)


def _free(name: str, taken: Collection[str]) -> str:
    """A name that is not taken."""
    while name in taken:
        name = f"tpu_{name}"
    return name
