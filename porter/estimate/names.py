"""Names of graphs: a case, `synthesizer.v2.forward`, or a submodule of its network, `synthesizer.v2.forward/dec`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from porter.errors import PortError
from porter.validate.cases import chosen

TRAINING = ("synthesizer.v2.forward", "discriminator.v2")  # what a training step runs
DEFAULT = (*TRAINING, "synthesizer.v2.forward/*", "synthesizer.v2.decode", "synthesizer.v2.decode_folded")


def wanted(asked: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Case → patterns of its submodules, "" for the case itself. PortError for a name that means nothing."""
    found: dict[str, list[str]] = {}
    for name in asked or DEFAULT:
        case, slash, part = name.partition("/")
        if slash and not part:
            raise PortError(f"{name} names no submodule behind the slash; {case}/* means all")
        for each in chosen((case,)):
            patterns = found.setdefault(each, [])
            if part not in patterns:
                patterns.append(part)
    return {case: tuple(patterns) for case, patterns in found.items()}


def graph_name(case: str, part: str) -> str:
    """The name of a graph."""
    return f"{case}/{part}" if part else case


def means(pattern: str, path: str) -> bool:
    """Whether a pattern means the submodule at `path`; a star stands for one name: `*`, `dec.ups.*`."""
    wanted_names, names = pattern.split("."), path.split(".")
    return len(wanted_names) == len(names) and all(map(fnmatchcase, names, wanted_names))
