"""Proof that an expression is one Python number, or an int."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import libcst as cst

from ..syntax.walk import dotted, own_of_type
from .project import SourceFile

_BINDING = (
    *(cst.Assign, cst.AnnAssign, cst.NamedExpr, cst.AsName, cst.Del, cst.Global, cst.Nonlocal, cst.AugAssign),
    cst.For,
)
_METHODS = ("numel", "dim", "nelement")
_WHOLE_OPERATORS = (cst.Add, cst.Subtract, cst.Multiply, cst.FloorDivide, cst.Modulo)
_WHOLE_MATH = ("ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "perm")

Proof = Callable[[SourceFile, cst.BaseExpression, int], bool]


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
        if _is_size(node) or _builtin(file, node, "int", "float", "len"):
            return True
        if (file.resolve(node.func) or "").startswith("math."):
            return True
        return _all_arguments(file, node, is_number, depth, "abs", "max", "min", "round", "sum")
    if _is_axis(node):
        return True
    return isinstance(node, cst.Name) and depth < 4 and _is_named(file, node, is_number, ("int", "float"), depth)


def is_whole(file: SourceFile, node: cst.BaseExpression, depth: int = 0) -> bool:
    """Whether `node` is a Python int, in the sense of `is_number`."""
    if isinstance(node, cst.Integer):
        return True
    if isinstance(node, cst.UnaryOperation):
        signs = isinstance(node.operator, (cst.Minus, cst.Plus))
        return signs and is_whole(file, node.expression, depth)
    if isinstance(node, cst.BinaryOperation):
        exact = isinstance(node.operator, _WHOLE_OPERATORS)
        return exact and is_whole(file, node.left, depth) and is_whole(file, node.right, depth)
    if isinstance(node, cst.IfExp):
        return is_whole(file, node.body, depth) and is_whole(file, node.orelse, depth)
    if isinstance(node, cst.Call):
        if _is_size(node) or _builtin(file, node, "int", "len"):
            return True
        if (file.resolve(node.func) or "") in [f"math.{name}" for name in _WHOLE_MATH]:
            return True
        return _all_arguments(file, node, is_whole, depth, "abs", "max", "min", "round", "sum")
    if _is_axis(node):
        return True
    return isinstance(node, cst.Name) and depth < 4 and _is_named(file, node, is_whole, ("int",), depth)


def is_shape(node: cst.BaseExpression) -> bool:
    """`x.shape` or `x.size()`, whose parts are numbers."""
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        return node.func.attr.value == "size" and not node.args
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"


# -- what gives a number -----------------------------------------------------------------------------------------


def _is_size(node: cst.Call) -> bool:
    """`x.size(0)`, `x.numel()`."""
    if not isinstance(node.func, cst.Attribute):
        return False
    name = node.func.attr.value
    return (name in _METHODS and not node.args) or (name == "size" and len(node.args) == 1)


def _is_axis(node: cst.BaseExpression) -> bool:
    """`x.shape[0]`, `x.ndim`."""
    if isinstance(node, cst.Subscript):
        single = len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index)
        return single and is_shape(node.value)
    return isinstance(node, cst.Attribute) and node.attr.value == "ndim"


def _builtin(file: SourceFile, node: cst.Call, *names: str) -> bool:
    """Whether a call is of one of Python's own functions."""
    return (
        isinstance(node.func, cst.Name)
        and node.func.value in names
        and file.index.scope_of(node).lookup(node.func.value) is None
    )


def _all_arguments(file: SourceFile, node: cst.Call, proof: Proof, depth: int, *names: str) -> bool:
    """Whether a call of one of Python's own functions is given numbers, one by one or in a literal list."""
    if not _builtin(file, node, *names) or not node.args or any(a.star or a.keyword for a in node.args):
        return False
    called = node.func.value if isinstance(node.func, cst.Name) else ""
    values = [a.value for a in node.args]
    if len(values) == 1 and isinstance(values[0], (cst.List, cst.Tuple)):
        values = [e.value for e in values[0].elements]
    elif called == "sum" or (len(values) == 1 and called in ("max", "min")):
        return False  # of what is in a sequence
    elif proof is is_whole and called == "round":
        return len(values) == 1 and is_number(file, values[0], depth)
    return bool(values) and all(proof(file, v, depth) for v in values)


# -- names that are given numbers --------------------------------------------------------------------------------


def _is_named(file: SourceFile, node: cst.Name, proof: Proof, types: tuple[str, ...], depth: int) -> bool:
    """Whether all that a local name is ever given has the proof."""
    given = list(given_values(file, node))
    parameter = _parameter(file, node)
    if parameter is not None:
        constant = _constant(file, parameter.default)
        if _noted(parameter) not in types and (constant is None or not proof(file, constant, depth)):
            return False
        given.append(True)
    return bool(given) and all(v is True or (v is not False and proof(file, v, depth + 1)) for v in given)


def given_values(file: SourceFile, node: cst.Name) -> Iterator[cst.BaseExpression | bool]:
    """What the function around a local name gives it: expressions, True for an int, False for what is unknown."""
    function = file.function(node)
    found = file.index.scope_of(node).lookup(node.value)
    if function is None or found is None or found[0].node is not function:
        return  # a name of a comprehension, or from further out
    for part in own_of_type(function.body, *_BINDING):
        value = _value(part, node.value)
        if value is not None:
            yield value


def _parameter(file: SourceFile, node: cst.Name) -> cst.Param | None:
    function = file.function(node)
    found = file.index.scope_of(node).lookup(node.value)
    if function is None or found is None or found[0].node is not function:
        return None
    params = (*function.params.posonly_params, *function.params.params, *function.params.kwonly_params)
    return next((p for p in params if p.name.value == node.value), None)


def _noted(param: cst.Param) -> str | None:
    """The type that a parameter's annotation names."""
    return dotted(param.annotation.annotation) if param.annotation is not None else None


def _constant(file: SourceFile, node: cst.BaseExpression | None) -> cst.BaseExpression | None:
    """The literal number that an expression is, or that the module gives the name which it is."""
    if not isinstance(node, cst.Name):
        return node if isinstance(node, (cst.Integer, cst.Float)) else None
    bound = file.index.root.bindings.get(node.value, [])
    made = file.parent(bound[0]) if len(bound) == 1 and isinstance(bound[0], cst.AssignTarget) else None
    if isinstance(made, cst.Assign) and isinstance(made.value, (cst.Integer, cst.Float)):
        return made.value
    return None


def _value(node: cst.CSTNode, name: str) -> cst.BaseExpression | bool | None:
    """What a node binds to a name: an expression, True for an int, False for something else; None if it does not."""
    if type(node) is cst.Assign:
        for target in node.targets:
            if type(target.target) is cst.Name and target.target.value == name:
                return node.value
            if isinstance(target.target, (cst.Tuple, cst.List)) and name in _names(target.target):
                return is_shape(node.value)
    if isinstance(node, (cst.AnnAssign, cst.NamedExpr)) and dotted(node.target) == name:
        return node.value
    if isinstance(node, (cst.AsName, cst.Del, cst.Global, cst.Nonlocal)) and name in _names(node):
        return False
    if type(node) is cst.AugAssign and type(node.target) is cst.Name and node.target.value == name:
        return _changed_by(node)
    if type(node) is cst.For and name in _names(node.target):
        return type(node.target) is cst.Name and type(node.iter) is cst.Call and dotted(node.iter.func) == "range"
    return None


def _changed_by(node: cst.AugAssign) -> cst.BaseExpression:
    """What `x += y` brings to x: y; and what shows of another operator what it may make of numbers, `y / y` of `/=`."""
    if isinstance(node.operator, cst.AddAssign):
        return node.value
    operator = getattr(cst, type(node.operator).__name__.removesuffix("Assign"))
    return cst.BinaryOperation(left=node.value, operator=operator(), right=node.value)


def _names(node: cst.CSTNode) -> set[str]:
    return {n.value for n in own_of_type(node, cst.Name)}
