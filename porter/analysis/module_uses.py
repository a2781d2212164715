"""Where a file asks a module that it imports for something."""

from __future__ import annotations

import libcst as cst

from ..syntax.scopes import Imported
from .project import SourceFile


def asked_in_functions(file: SourceFile, name: str) -> list[cst.Name]:
    """Each use of a name that an import binds to a module; none where one is more than `name.something` in a function.

    So the module need not be there before such a function is called.
    """
    bound = file.index.root.bindings.get(name, [])
    if len(bound) != 1 or not isinstance(bound[0], Imported) or _is_rebound(file, name):
        return []
    named = file.index.named(name)
    uses = [n for n in named if isinstance(n, cst.Name) and _is_value(file, n) and file.bindings(n) is bound]
    return uses if all(_asks_in_function(file, use) for use in uses) else []


def _is_value(file: SourceFile, node: cst.Name) -> bool:
    """Whether a name stands for a value, and is no attribute, keyword, parameter or part of an import."""
    named = file.is_label(node) or isinstance(file.parent(node), cst.Param)
    return not named and not file.inside_import(node)


def _asks_in_function(file: SourceFile, use: cst.Name) -> bool:
    parent = file.parent(use)
    if not isinstance(parent, cst.Attribute) or isinstance(file.parent(parent), (cst.AssignTarget, cst.Del)):
        return False
    return any(isinstance(around, cst.FunctionDef) and child is around.body for around, child in file.steps_out(use))


def _is_rebound(file: SourceFile, name: str) -> bool:
    """Whether a function may bind a name of the module's."""
    kinds: tuple[type[cst.Global | cst.Nonlocal], ...] = (cst.Global, cst.Nonlocal)
    return any(item.name.value == name for kind in kinds for node in file.index.of_type(kind) for item in node.names)
