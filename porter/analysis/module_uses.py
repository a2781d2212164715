"""Where a file asks a module that it imports for something."""

from __future__ import annotations

import libcst as cst

from ..syntax.scopes import Imported
from .project import SourceFile


def asked_in_functions(file: SourceFile, name: str) -> list[cst.Name]:
    """Each use of a name that an import binds to a module; none where one is more than `name.something` in a function.

    So the module need not be there before such a function is called.
    """
    root = file.index.root
    bound = root.bindings.get(name, [])
    if len(bound) != 1 or not isinstance(bound[0], Imported):
        return []
    uses = [
        node
        for node in file.index.nodes
        if type(node) is cst.Name
        and node.value == name
        and _is_value(file, node)
        and (owner := file.index.scope_of(node).lookup(name)) is not None
        and owner[0] is root
    ]
    declared = any((type(n) is cst.Global or type(n) is cst.Nonlocal) and _names(n, name) for n in file.index.nodes)
    return [] if declared or not all(_asks_in_function(file, use) for use in uses) else uses


def _is_value(file: SourceFile, node: cst.Name) -> bool:
    """Whether a name stands for a value, and is no attribute, keyword, parameter or part of an import."""
    parent = file.parent(node)
    if isinstance(parent, cst.Attribute):
        return parent.value is node and not file.inside_import(node)
    if isinstance(parent, cst.Arg):
        return parent.value is node
    return not isinstance(parent, cst.Param) and not file.inside_import(node)


def _asks_in_function(file: SourceFile, use: cst.Name) -> bool:
    parent = file.parent(use)
    if not isinstance(parent, cst.Attribute) or isinstance(file.parent(parent), (cst.AssignTarget, cst.Del)):
        return False
    child: cst.CSTNode = use
    for around in file.ancestors(use):
        if isinstance(around, cst.FunctionDef) and child is around.body:
            return True
        child = around
    return False


def _names(statement: cst.Global | cst.Nonlocal, name: str) -> bool:
    return any(item.name.value == name for item in statement.names)
