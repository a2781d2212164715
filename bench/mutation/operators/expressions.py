"""Operators and constants in expressions."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from bench.mutation.change import Edit
from bench.mutation.operators.writing import instead, others
from bench.mutation.source import Source

_ARITHMETIC: Mapping[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
}
_COMPARISON: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


def arithmetic(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Another arithmetic operator."""
    if isinstance(node, ast.BinOp) and not _is_text(node.left) and not _is_text(node.right):
        for kind in _ARITHMETIC.get(type(node.op), ()):
            yield instead(source, "arithmetic", node, ast.BinOp(node.left, kind(), node.right))
    if isinstance(node, ast.AugAssign):
        for kind in _ARITHMETIC.get(type(node.op), ()):
            yield instead(source, "arithmetic", node, ast.unparse(ast.AugAssign(node.target, kind(), node.value)))


def comparison(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Another comparison."""
    if not isinstance(node, ast.Compare):
        return
    for index, old in enumerate(node.ops):
        for kind in _COMPARISON[type(old)]:
            changed = [*node.ops[:index], kind(), *node.ops[index + 1 :]]
            yield instead(source, "comparison", node, ast.Compare(node.left, changed, node.comparators))


def boolean(source: Source, node: ast.AST) -> Iterator[Edit]:
    """`and` for `or`, and the other way round."""
    if isinstance(node, ast.BoolOp):
        kind = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield instead(source, "boolean", node, ast.BoolOp(kind(), node.values))


def condition_negated(source: Source, node: ast.AST) -> Iterator[Edit]:
    """The other branch."""
    tests = [node.test] if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)) else []
    if isinstance(node, ast.comprehension):
        tests = node.ifs
    for test in tests:
        changed = test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else None
        yield instead(source, "condition negated", test, changed or ast.UnaryOp(ast.Not(), test))


def sign_dropped(source: Source, node: ast.AST) -> Iterator[Edit]:
    """No minus."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
        yield instead(source, "sign dropped", node, node.operand)


def constant(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A number off by one or by a factor, the other truth."""
    if isinstance(node, ast.Constant):
        for value in others(node.value):
            yield instead(source, "constant", node, ast.Constant(value))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))
