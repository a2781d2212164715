"""Arguments of calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bench.mutation.change import Edit
from bench.mutation.operators.writing import given, rewritten, without
from bench.mutation.source import Source

_EITHER_WAY = frozenset({"transpose", "swapaxes", "swapdims", "maximum", "minimum"})  # whose order means nothing
_GREATEST = frozenset({"max", "min"})  # likewise, of whole numbers
_SIZES = re.compile(r"-?\d+|len\(.*\)|.*\.shape\[-?\d+\]|.*\.size\(-?\d+\)")


def keyword_removed(source: Source, node: ast.AST) -> Iterator[Edit]:
    """One argument that is given by name less."""
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None:
                yield without(source, "keyword removed", node, keyword)


def argument_dropped(source: Source, node: ast.AST) -> Iterator[Edit]:
    """The last of the arguments that are given by place."""
    if isinstance(node, ast.Call) and node.args and not isinstance(node.args[-1], (ast.Starred, ast.GeneratorExp)):
        yield without(source, "argument dropped", node, node.args[-1])


def arguments_swapped(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Two neighbours the other way round."""
    if not isinstance(node, ast.Call) or (len(node.args) == 2 and _is_either_way(source, node)):
        return
    for index in range(len(node.args) - 1):
        first, second = node.args[index : index + 2]
        if isinstance(first, ast.Starred) or isinstance(second, ast.Starred):
            continue
        if source.code(first) == source.code(second):
            continue
        order: dict[ast.expr | ast.keyword, ast.expr] = {first: second, second: first}
        yield rewritten(source, "arguments swapped", node, [order.get(a, a) for a in given(node)])


def _is_either_way(source: Source, node: ast.Call) -> bool:
    """Whether a call of two arguments gives the same with these the other way round."""
    if isinstance(node.func, ast.Name) and node.func.id in _GREATEST:
        return any(_SIZES.fullmatch(source.code(argument)) for argument in node.args)
    return _called(node) in _EITHER_WAY


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
