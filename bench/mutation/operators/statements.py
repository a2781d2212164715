"""Statements that are not there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from bench.mutation.change import Edit
from bench.mutation.operators.writing import instead
from bench.mutation.source import Source

DELETED = "statement deleted"
_DELETED = (
    *(ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Raise, ast.Assert, ast.Delete),
    *(ast.Break, ast.Continue, ast.If, ast.For, ast.While),
)


def statement_deleted(source: Source, node: ast.AST) -> Iterator[Edit]:
    """`pass` for a statement that does something."""
    if not isinstance(node, _DELETED) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return
    if isinstance(node, ast.If) and source.raw[slice(*source.span(node))].startswith(b"elif"):
        return  # it is written inside another
    yield instead(source, DELETED, node, "pass")
