"""Code as a formatter leaves it alone: for telling what changed from what was laid out anew."""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import io
import re
import tokenize
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from ..hunks import plain_code

_TRIPLE = re.compile("\"\"\"|'''")
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Difference = Literal["same", "reformatted", "comments", "changed"]


def difference(before: bytes, after: bytes) -> Difference:
    """How much two versions of a Python file differ; white space around and inside docstrings is layout."""
    if before == after:
        return "same"
    old, new = _tree(before), _tree(after)
    try:
        if old is None or new is None or ast.dump(_undressed(old)) != ast.dump(_undressed(new)):
            return "changed"
    except RecursionError:
        return "changed"
    return "reformatted" if _comments(before) == _comments(after) else "comments"


@lru_cache(maxsize=4096)  # most code is in both packages
def normal(code: str) -> str:
    """An expression, or whole statements with their indentation, without layout, comments and kinds of quotes."""
    for text in (f"(\n{code}\n)", f"if 1:\n{code}" if code[:1].isspace() else code):
        tree = _tree(text)
        if tree is not None:
            with contextlib.suppress(RecursionError):
                return ast.unparse(_undressed(tree) if _TRIPLE.search(code) else tree)
    return plain_code(code)


class Text:
    """One version of a file, by lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        """`lines` with their ends."""
        self._lines = lines
        self._statements: dict[int, tuple[int, ast.stmt]] | None = None

    def code(self, line: int, column: int, end_line: int, end_column: int) -> str:
        """The code of a span, normal; lines from 1, columns in characters from 0."""
        lines = list(self._lines[line - 1 : end_line])
        if not lines:
            return ""
        lines[-1] = lines[-1][:end_column]
        if lines[0][:column].strip():  # what stands before it; indentation belongs to a statement
            lines[0] = lines[0][column:]
        return normal("".join(lines))

    def statement(self, line: int) -> str:
        """The innermost statement at a line, normal; of one with a body, only its head."""
        if self._statements is None:
            self._statements = _statements(_tree("".join(self._lines)))
        if line in self._statements:
            with contextlib.suppress(RecursionError):
                return ast.unparse(_head(self._statements[line][1]))
        return plain_code(self._lines[line - 1]) if line <= len(self._lines) else ""


def _statements(tree: ast.Module | None) -> dict[int, tuple[int, ast.stmt]]:
    """The shortest statement at each line, and by how many lines it is longer than one."""
    found: dict[int, tuple[int, ast.stmt]] = {}
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.stmt):
            decorators: list[ast.expr] = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            longer = (node.end_lineno or first) - first
            for line in range(first, first + longer + 1):
                if line not in found or longer < found[line][0]:
                    found[line] = longer, node
    return found


def _head(node: ast.stmt) -> ast.stmt:
    head = copy.copy(node)
    for name in _BODIES:
        if isinstance(getattr(head, name, None), list):
            setattr(head, name, [ast.Pass()] if name == "body" else [])
    return head


def _tree(source: str | bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of an escape that means nothing
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _undressed(tree: ast.Module) -> ast.Module:
    """The same tree, its docstrings without the white space that a formatter changes."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            text = inspect.cleandoc(str(first.value.value))
            first.value.value = "\n".join(line.rstrip() for line in text.split("\n")).strip()
    return tree


def _comments(source: bytes) -> list[str] | None:
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    return [token.string.lstrip("#! ").rstrip() for token in tokens if token.type == tokenize.COMMENT]
