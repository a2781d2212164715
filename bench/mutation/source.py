"""A file's text with its syntax tree, and where nodes are in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Source:
    """The text of one file, parsed."""

    def __init__(self, text: str) -> None:
        """SyntaxError where the text is no Python."""
        self.text = text
        self.raw = text.encode()
        self.tree = ast.parse(text)
        starts = [0]
        for line in self.raw.split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        self._starts = starts

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def statements(self) -> dict[ast.stmt, int]:
        """All statements that are no docstrings, numbered from 0 as they stand in the tree."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, ast.stmt) and not self.is_docstring(node))
        return {node: index for index, node in enumerate(found)}

    def span(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> tuple[int, int]:
        """Bytes from the first to behind the last of a node."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def code(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> str:
        """A node as it is written."""
        start, end = self.span(node)
        return self.raw[start:end].decode()

    def line(self, offset: int) -> int:
        """The line of a byte, from 1."""
        return self.raw.count(b"\n", 0, offset) + 1

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that holds a node, or is it."""
        for found in (node, *self.above(node)):
            if isinstance(found, ast.stmt):
                return found
        raise ValueError("a node that is in no statement")

    def inside(self, node: ast.AST) -> str:
        """Qualified name of what is around a node."""
        scopes = [scope.name for scope in self.above(node) if isinstance(scope, Scope)]
        return ".".join(reversed(scopes))

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The innermost function around a node; None for what runs when the file is imported."""
        functions = (n for n in self.above(node) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
        return next(functions, None)

    def is_docstring(self, node: ast.stmt) -> bool:
        """Whether a statement is nothing but a string."""
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
