"""Writing other code in the place of a node."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from bench.mutation.change import Edit
from bench.mutation.source import Source

_BARE = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant)


def instead(source: Source, operator: str, node: ast.expr | ast.stmt, new: ast.expr | str) -> Edit:
    """The edit that puts `new` in the place of `node`; an expression in parentheses where it may need them."""
    if isinstance(new, ast.expr):
        text = ast.unparse(new)
        if not isinstance(new, _BARE) or text.startswith("-"):
            text = f"({text})"
    else:
        text = new
    return Edit(operator, *source.span(node), text)


def without(source: Source, operator: str, call: ast.Call, dropped: ast.expr | ast.keyword) -> Edit:
    """The edit that leaves one argument of a call out."""
    arguments = [a for a in given(call) if a is not dropped]
    return rewritten(source, operator, call, arguments)


def rewritten(source: Source, operator: str, call: ast.Call, arguments: Sequence[ast.expr | ast.keyword]) -> Edit:
    """The edit that gives a call other arguments, as they are written."""
    _, behind = source.span(call.func)
    _, end = source.span(call)
    return Edit(operator, behind, end, f"({', '.join(source.code(a) for a in arguments)})")


def given(call: ast.Call) -> list[ast.expr | ast.keyword]:
    """All arguments of a call, as they stand."""
    return sorted([*call.args, *call.keywords], key=lambda a: (a.lineno, a.col_offset))


def number(node: ast.AST | None) -> int | float | None:
    """A number that is written out, with its sign; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return node.value
    return None


def others(value: object) -> Sequence[int | float]:
    """Constants in the place of one: off by one, by a factor, the other truth; none where there is no such thing."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1] + ([value * 2] if value > 2 else [])
    if isinstance(value, float):
        return [1.0] if value == 0 else [value * 2, value / 2, value + 1.0]
    return []
