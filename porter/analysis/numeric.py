"""Proof that an expression is one Python number, or an int."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import libcst as cst

from ..syntax.predicates import called, is_plain, named_parameters, only_index, targets
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
    match node:
        case cst.Integer() | cst.Float():
            return True
        case cst.UnaryOperation():
            return is_number(file, node.expression, depth)
        case cst.Call():
            return _gives_number(file, node, is_number, depth)
        case cst.Name():
            return depth < 4 and _is_named(file, node, is_number, depth)
    parts = _operands(node)
    return all(is_number(file, part, depth) for part in parts) if parts else _is_axis(node)


def is_whole(file: SourceFile, node: cst.BaseExpression, depth: int = 0) -> bool:
    """Whether `node` is a Python int, in the sense of `is_number`."""
    match node:
        case cst.Integer():
            return True
        case cst.UnaryOperation(operator=cst.Minus() | cst.Plus()):
            return is_whole(file, node.expression, depth)
        case cst.BinaryOperation() if not isinstance(node.operator, _WHOLE_OPERATORS):
            return False
        case cst.Call():
            return _gives_number(file, node, is_whole, depth)
        case cst.Name():
            return depth < 4 and _is_named(file, node, is_whole, depth)
    parts = _operands(node)
    return all(is_whole(file, part, depth) for part in parts) if parts else _is_axis(node)


def _operands(node: cst.BaseExpression) -> tuple[cst.BaseExpression, ...]:
    """What arithmetic or a choice makes a number of."""
    match node:
        case cst.BinaryOperation(left=one, right=other) | cst.IfExp(body=one, orelse=other):
            return one, other
    return ()


def shaped(node: cst.CSTNode) -> cst.BaseExpression | None:
    """The tensor of `x.shape` or `x.size()`."""
    match node:
        case cst.Call(func=cst.Attribute(value=tensor, attr=cst.Name(value="size")), args=[]):
            return tensor
        case cst.Attribute(value=tensor, attr=cst.Name(value="shape")):
            return tensor
    return None


def is_shape(node: cst.BaseExpression) -> bool:
    """`x.shape` or `x.size()`, whose parts are numbers."""
    return shaped(node) is not None


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
        return only_index(node) is not None and is_shape(node.value)
    return isinstance(node, cst.Attribute) and node.attr.value == "ndim"


def _builtin(file: SourceFile, node: cst.Call, *names: str) -> bool:
    """Whether a call is of one of Python's own functions."""
    return (
        isinstance(node.func, cst.Name)
        and node.func.value in names
        and file.index.scope_of(node).lookup(node.func.value) is None
    )


def _gives_number(file: SourceFile, node: cst.Call, proof: Proof, depth: int) -> bool:
    """Whether a call gives a number of the proof: a size, a conversion, a function of `math`, one of numbers."""
    if _is_size(node) or _builtin(file, node, "len", *_TYPES[proof]):
        return True
    target = file.full_name(node.func)
    whole = target.removeprefix("math.") in _WHOLE_MATH
    return (target.startswith("math.") and (whole or proof is is_number)) or _all_arguments(file, node, proof, depth)


def _all_arguments(file: SourceFile, node: cst.Call, proof: Proof, depth: int) -> bool:
    """Whether a call of one of Python's own functions is given numbers, one by one or in a literal list."""
    if not _builtin(file, node, *_OF_NUMBERS) or not all(map(is_plain, node.args)):
        return False
    values = _numbers_of(node)
    if proof is is_whole and called(node) == "round":
        return len(values) == 1 and is_number(file, values[0], depth)
    return bool(values) and all(proof(file, v, depth) for v in values)


def _numbers_of(node: cst.Call) -> list[cst.BaseExpression]:
    """What a function of numbers is given, one by one or in a literal list; nothing of what is in a sequence."""
    function = called(node)
    match node.args:
        case [cst.Arg(value=cst.List(elements=elements) | cst.Tuple(elements=elements))]:
            return [e.value for e in elements]
        case [_] if function in ("max", "min"):
            return []
    return [] if function == "sum" else [a.value for a in node.args]


_OF_NUMBERS = ("abs", "max", "min", "round", "sum")
_TYPES: dict[Proof, tuple[str, ...]] = {is_number: ("int", "float"), is_whole: ("int",)}


# -- names that are given numbers --------------------------------------------------------------------------------


def _is_named(file: SourceFile, node: cst.Name, proof: Proof, depth: int) -> bool:
    """Whether all that a local name is ever given has the proof."""
    given = list(given_values(file, node))
    parameter = _parameter(file, node)
    if parameter is not None:
        constant = _constant(file, parameter.default)
        if _noted(parameter) not in _TYPES[proof] and (constant is None or not proof(file, constant, depth)):
            return False
        given.append(True)
    return bool(given) and all(v is True or (v is not False and proof(file, v, depth + 1)) for v in given)


def given_values(file: SourceFile, node: cst.Name) -> Iterator[cst.BaseExpression | bool]:
    """What the function around a local name gives it: expressions, True for an int, False for what is unknown."""
    function = _binder(file, node)
    for part in own_of_type(function.body, *_BINDING) if function is not None else ():
        value = _value(part, node.value)
        if value is not None:
            yield value


def _binder(file: SourceFile, node: cst.Name) -> cst.FunctionDef | None:
    """The function around a name, if it is the one that binds it: no comprehension, and none further out."""
    function = file.function(node)
    found = file.index.scope_of(node).lookup(node.value)
    return function if found is not None and found[0].node is function else None


def _parameter(file: SourceFile, node: cst.Name) -> cst.Param | None:
    function = _binder(file, node)
    params = named_parameters(function) if function is not None else ()
    return next((p for p in params if p.name.value == node.value), None)


def _noted(param: cst.Param) -> str | None:
    """The type that a parameter's annotation names."""
    return dotted(param.annotation.annotation) if param.annotation is not None else None


def _constant(file: SourceFile, node: cst.BaseExpression | None) -> cst.BaseExpression | None:
    """The literal number that an expression is, or that the module gives the name which it is."""
    if isinstance(node, cst.Name):
        once = file.assigned_once(file.index.root.bindings.get(node.value, []))
        node = once[1] if once is not None else None
    return node if isinstance(node, (cst.Integer, cst.Float)) else None


def _value(node: cst.CSTNode, name: str) -> cst.BaseExpression | bool | None:
    """What a node binds to a name: an expression, True for an int, False for something else; None if it does not."""
    match node:
        case cst.Assign():
            return _assigned(node, name)
        case cst.AnnAssign() | cst.NamedExpr():
            return node.value if dotted(node.target) == name else None
        case cst.AugAssign():
            return _changed_by(node) if dotted(node.target) == name else None
        case cst.For():
            counts = isinstance(node.target, cst.Name) and called(node.iter) == "range"
            return counts if name in _names(node.target) else None
    return False if name in _names(node) else None


def _assigned(node: cst.Assign, name: str) -> cst.BaseExpression | bool | None:
    for target in targets(node):
        if dotted(target) == name:
            return node.value
        if isinstance(target, (cst.Tuple, cst.List)) and name in _names(target):
            return is_shape(node.value)
    return None


def _changed_by(node: cst.AugAssign) -> cst.BaseExpression:
    """What `x += y` brings to x: y; and what shows of another operator what it may make of numbers, `y / y` of `/=`."""
    if isinstance(node.operator, cst.AddAssign):
        return node.value
    operator = getattr(cst, type(node.operator).__name__.removesuffix("Assign"))
    return cst.BinaryOperation(left=node.value, operator=operator(), right=node.value)


def _names(node: cst.CSTNode) -> set[str]:
    return {n.value for n in own_of_type(node, cst.Name)}
