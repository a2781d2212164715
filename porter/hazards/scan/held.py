"""Parameters that something else than their module holds, where no rule keeps them in place."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.held import holds
from ...analysis.project import SourceFile
from .asking import Found


def held_parameters(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Where the constructor of a module gives a parameter to something that is no module."""
    assert isinstance(node, cst.FunctionDef)
    for hold in holds(file, node):
        yield "DEV", hold.whole, hold.told


def keeps_parameter(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a find is of this kind, which being in a constructor does not excuse."""
    around = (a for a in file.ancestors(node) if isinstance(a, cst.FunctionDef) and a.name.value == "__init__")
    return any(hold.whole is node for a in around for hold in holds(file, a))
