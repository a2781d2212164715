"""What a seeded fault is, and planting it in a file's text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import libcst as cst

from porter.syntax.spans import Rendering
from porter.syntax.template import is_hole, match, parenthesized, substitute
from porter.syntax.walk import descendants

Device = Literal["cpu", "xla"]


@dataclass(frozen=True)
class Fault:
    """One thing that a wrong port might do.

    `find` is an expression or a one-line statement with holes (names that begin with two underscores), looked for in
    the function or class `inside`; `put` is what it becomes, with the same holes. Both are read as syntax, so the
    layout of the file means nothing.
    """

    name: str
    kind: str
    file: str  # inside the package
    inside: str  # qualified name of a function or class, "" for the whole file
    find: str
    put: str
    nth: int = 0  # which of several places
    device: Device = "cpu"  # the cheapest one on which it shows


@dataclass(frozen=True)
class Planted:
    """A file with a fault in it."""

    text: str
    line: int  # from 1
    function: str  # qualified name of what is around the place, "" at the top of the file


class NoPlace(Exception):  # noqa: N818  # not an error: another revision may have no such code
    """This package has no place for the fault; the text says what is missing."""


def plant(text: str, fault: Fault) -> Planted:
    """`text` with the fault in it. NoPlace where it has no such code."""
    module, places = _parsed(text)
    scope = _scope(module, fault.inside)
    kind = cst.BaseExpression if _is_expression(fault.find) and _is_expression(fault.put) else cst.BaseSmallStatement
    nodes = (node for node in descendants(scope) if isinstance(node, kind))
    found = [(node, holes) for node in nodes if (holes := match(fault.find, node)) is not None]
    if len(found) <= fault.nth:
        raise NoPlace(f"{fault.inside or fault.file} has no {fault.find}")
    node, holes = found[fault.nth]
    start, end = places.offsets(node)
    new = _filled(fault.put, holes, kind is cst.BaseExpression)
    changed = f"{text[:start]}{new}{text[end:]}"
    if changed == text:
        raise NoPlace(f"{fault.name} changes nothing")
    return Planted(changed, places.span(node).line, _around(module, node))


@lru_cache(maxsize=2)
def _parsed(text: str) -> tuple[cst.Module, Rendering]:
    module = cst.parse_module(text)
    return module, Rendering(module)


@cache
def _is_expression(text: str) -> bool:
    try:
        cst.parse_expression(text)
    except cst.ParserSyntaxError:
        return False
    return True


def _filled(put: str, holes: Mapping[str, cst.CSTNode], expression: bool) -> str:
    def fill(node: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        if not is_hole(node):
            return None
        assert isinstance(node, cst.Name)
        if node.value.endswith("__"):
            return None  # a name of Python's own
        new = holes[node.value.removeprefix("__")]
        return parenthesized(new) if isinstance(new, cst.BaseExpression) else new

    if expression:
        tree: cst.CSTNode = parenthesized(cst.parse_expression(put))
    else:
        line = cst.parse_statement(put)
        assert isinstance(line, cst.SimpleStatementLine)
        tree = line.body[0]
    return cst.Module([]).code_for_node(substitute(tree, fill))


def _scope(module: cst.Module, inside: str) -> cst.CSTNode:
    scope: cst.CSTNode = module
    for name in filter(None, inside.split(".")):
        inner = (node for node in _definitions(scope) if node.name.value == name)
        found = next(inner, None)
        if found is None:
            raise NoPlace(f"there is no {inside}")
        scope = found
    return scope


def _definitions(scope: cst.CSTNode) -> Iterator[cst.FunctionDef | cst.ClassDef]:
    """Functions and classes right inside `scope`, however deep in its statements."""
    stack = list(scope.children)
    while stack:
        node = stack.pop(0)
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            yield node
        else:
            stack = [*node.children, *stack]


def _around(module: cst.Module, wanted: cst.CSTNode) -> str:
    """Qualified name of the innermost function, or class, that holds `wanted`."""

    def search(scope: cst.CSTNode, name: str) -> str | None:
        for inner in _definitions(scope):
            if any(node is wanted for node in descendants(inner)):
                return search(inner, f"{name}.{inner.name.value}".lstrip("."))
        return name

    return search(module, "") or ""
