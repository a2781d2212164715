"""Module-level dictionaries that keep tensors between calls."""

from __future__ import annotations

import libcst as cst

from ..syntax.values import is_tensor
from ..syntax.walk import descendants
from .project import SourceFile


def fills(file: SourceFile, node: cst.Assign) -> bool:
    """Whether `node` is `CACHE[key] = <tensor>` inside a function, for a dictionary of the module."""
    target = node.targets[0].target
    if len(node.targets) != 1 or not isinstance(target, cst.Subscript) or file.function(node) is None:
        return False
    return _is_module_dict(file, target.value) and _has_tensor(file, node.value)


def fill_around(file: SourceFile, node: cst.CSTNode) -> cst.Assign | None:
    """The assignment to a cache that `node` is part of."""
    for around in file.ancestors(node):
        if isinstance(around, cst.Assign):
            return around if fills(file, around) else None
        if isinstance(around, cst.BaseStatement):
            return None
    return None


def _is_module_dict(file: SourceFile, node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Name):
        return False
    found = file.index.scope_of(node).lookup(node.value)
    if found is None or found[0] is not file.index.root:
        return False
    assigns = [file.parent(b) for b in found[1] if isinstance(b, cst.AssignTarget)]
    return any(isinstance(a, cst.Assign) and _makes_dict(a.value) for a in assigns)


def _has_tensor(file: SourceFile, value: cst.BaseExpression) -> bool:
    return any(is_tensor(file.kind(n)) for n in descendants(value) if isinstance(n, (cst.Call, cst.BinaryOperation)))


def _makes_dict(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.Call):
        return isinstance(node.func, cst.Name) and node.func.value in ("dict", "OrderedDict", "defaultdict")
    return isinstance(node, cst.Dict)
