"""Proof that an expression is one Python number."""

from __future__ import annotations

import libcst as cst

from .project import SourceFile
from .syntax.walk import dotted, own_descendants, own_of_type

_CALLS = ("int", "float", "len", "round", "abs", "min", "max")
_METHODS = ("numel", "dim", "nelement")
_MATH = ("math.",)


def is_number(file: SourceFile, node: cst.BaseExpression, depth: int = 0) -> bool:
    """Whether `node` is a Python number: a literal, a size, a length, arithmetic of such, or a local name for one."""
    if isinstance(node, (cst.Integer, cst.Float)):
        return True
    if isinstance(node, cst.UnaryOperation):
        return is_number(file, node.expression, depth)
    if isinstance(node, cst.BinaryOperation):
        return is_number(file, node.left, depth) and is_number(file, node.right, depth)
    if isinstance(node, cst.IfExp):
        return is_number(file, node.body, depth) and is_number(file, node.orelse, depth)
    if isinstance(node, cst.Call):
        return _is_number_call(file, node)
    if isinstance(node, cst.Subscript):
        single = len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index)
        return single and isinstance(node.value, cst.Attribute) and node.value.attr.value == "shape"
    if isinstance(node, cst.Attribute):
        return node.attr.value == "ndim"
    return isinstance(node, cst.Name) and depth < 4 and _is_number_name(file, node, depth)


def _is_number_call(file: SourceFile, node: cst.Call) -> bool:
    if isinstance(node.func, cst.Name):
        return node.func.value in _CALLS and not file.resolve(node.func)
    if (file.resolve(node.func) or "").startswith(_MATH):
        return True
    if not isinstance(node.func, cst.Attribute):
        return False
    name = node.func.attr.value
    return name in _METHODS or (name == "size" and len(node.args) == 1)


def _is_number_name(file: SourceFile, node: cst.Name, depth: int) -> bool:
    function = file.function(node)
    if function is None:
        return False
    given: list[cst.BaseExpression | bool] = []
    for param in (*function.params.params, *function.params.kwonly_params):
        if param.name.value == node.value:
            note = dotted(param.annotation.annotation) if param.annotation is not None else None
            if note not in ("int", "float") and not _is_constant(file, param.default):
                return False
            given = [True]
    values = [_value(n, node.value) for n in own_descendants(function.body)]
    given += [v for v in values if v is not None]
    return bool(given) and all(v is True or (v is not False and is_number(file, v, depth + 1)) for v in given)


def _is_constant(file: SourceFile, node: cst.BaseExpression | None) -> bool:
    """Whether an expression is a literal number, or a name that the module gives one."""
    if not isinstance(node, cst.Name):
        return isinstance(node, (cst.Integer, cst.Float))
    bound = file.index.root.bindings.get(node.value, [])
    made = file.parent(bound[0]) if len(bound) == 1 and isinstance(bound[0], cst.AssignTarget) else None
    return isinstance(made, cst.Assign) and isinstance(made.value, (cst.Integer, cst.Float))


def _value(node: cst.CSTNode, name: str) -> cst.BaseExpression | bool | None:
    """What a node binds to a name: an expression, True for a number, False for something else; None if it does not."""
    if isinstance(node, cst.Assign):
        for target in node.targets:
            if isinstance(target.target, cst.Name) and target.target.value == name:
                return node.value
            if isinstance(target.target, cst.Tuple) and name in _names(target.target):
                return is_shape(node.value)
    if isinstance(node, (cst.AnnAssign, cst.NamedExpr)) and dotted(node.target) == name:
        return node.value
    if isinstance(node, (cst.AsName, cst.Del)) and name in _names(node):
        return False
    if isinstance(node, cst.AugAssign) and isinstance(node.target, cst.Name) and node.target.value == name:
        return node.value
    if isinstance(node, cst.For) and name in _names(node.target):
        return isinstance(node.iter, cst.Call) and dotted(node.iter.func) == "range"
    return None


def _names(node: cst.CSTNode) -> set[str]:
    return {n.value for n in own_of_type(node, cst.Name)}


def is_shape(node: cst.BaseExpression) -> bool:
    """`x.shape` or `x.size()`, whose parts are numbers."""
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        return node.func.attr.value == "size" and not node.args
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"
