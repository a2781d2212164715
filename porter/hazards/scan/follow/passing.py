"""Functions that hand back one of their arguments, such as `default(value, other)`: a number to one caller, a tensor to
another.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ....syntax.values import Env, Kind, Value, either
from .shapes import one_of

_HOST = (cst.Integer, cst.Float, cst.SimpleString)


def handed_back(function: cst.FunctionDef) -> tuple[cst.BaseExpression, ...]:
    """What a function returns, if all that it does is to choose among its parameters; else nothing."""
    results = tuple(_results(function.body))
    names = {
        p.name.value for p in (*function.params.posonly_params, *function.params.params, *function.params.kwonly_params)
    }
    if not results or any(result is None or not _is_choice(result, names) for result in results):
        return ()
    return tuple(result for result in results if result is not None)


def value_of(results: tuple[cst.BaseExpression, ...], given: Env) -> Value:
    """The kind of what one call gets, which gives these values."""
    return one_of(_value(result, given) for result in results)


def _results(block: cst.BaseSuite) -> Iterator[cst.BaseExpression | None]:
    """The expressions behind `return`; None where a block does anything else."""
    for statement in block.body:
        if isinstance(statement, cst.If):
            yield from _results(statement.body)
            if statement.orelse is not None:
                yield from _results(statement.orelse.body) if isinstance(statement.orelse, cst.Else) else (None,)
            continue
        small = statement.body if isinstance(statement, cst.SimpleStatementLine) else [statement]
        for part in small:
            if isinstance(part, cst.Expr) and isinstance(part.value, cst.SimpleString):
                continue
            yield part.value if isinstance(part, cst.Return) else None


def _is_choice(node: cst.BaseExpression, names: set[str]) -> bool:
    if isinstance(node, cst.Name):
        return node.value in names or node.value in ("None", "True", "False")
    if isinstance(node, cst.IfExp):
        return _is_choice(node.body, names) and _is_choice(node.orelse, names)
    if isinstance(node, cst.BooleanOperation):
        return _is_choice(node.left, names) and _is_choice(node.right, names)
    if isinstance(node, cst.Call):  # a default that is made when it is wanted
        return isinstance(node.func, cst.Name) and node.func.value in names and not node.args
    return isinstance(node, _HOST)


def _value(node: cst.BaseExpression, given: Env) -> Value:
    if isinstance(node, cst.IfExp):
        return either(_value(node.body, given), _value(node.orelse, given))
    if isinstance(node, cst.BooleanOperation):
        return either(_value(node.left, given), _value(node.right, given))
    if isinstance(node, cst.Name):
        return given.get(node.value, Kind.HOST)
    if isinstance(node, cst.Call):
        assert isinstance(node.func, cst.Name)
        made = given.get(node.func.value, Kind.HOST)
        return Kind.UNKNOWN if made is Kind.UNKNOWN else made
    return Kind.HOST
