"""Building and recognising syntax by example: source text with holes.

A hole is a name that begins with two underscores. `fill` puts trees into holes; `match` reads them out. Both work on
trees, so spacing, line breaks and redundant parentheses mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import libcst as cst

from .walk import EXPRESSIONS, PLAIN, children, dotted, key, meaningful_fields

_NAMING = frozenset({cst.Name, cst.Attribute})  # may match by what they mean, or be a hole
_LIBRARIES = frozenset({"numpy", "torch"})  # in a pattern these are no variables
Bindings = dict[str, cst.CSTNode]
Resolver = Callable[[cst.CSTNode], str | None]

_ATOMS = (
    cst.Name,
    cst.Attribute,
    cst.Call,
    cst.Subscript,
    cst.SimpleString,
    cst.Integer,
    cst.Float,
    cst.List,
    cst.Dict,
    cst.Tuple,
)


@cache
def _expression(text: str) -> cst.BaseExpression:
    return cst.parse_expression(text)


@cache
def _statement(text: str) -> cst.SimpleStatementLine | cst.BaseCompoundStatement:
    return cst.parse_statement(text)


def is_hole(node: cst.CSTNode) -> bool:
    """Whether a pattern's node stands for any tree."""
    return type(node) is cst.Name and node.value.startswith("__")


def parenthesized(node: cst.BaseExpression) -> cst.BaseExpression:
    """`node`, in parentheses unless it binds as tightly as a name does."""
    if isinstance(node, _ATOMS) or node.lpar:
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _loose(parent: cst.CSTNode) -> bool:
    """Whether a child of `parent` may be any expression without parentheses."""
    return isinstance(
        parent,
        (cst.Arg, cst.Element, cst.Index, cst.Slice, cst.Assign, cst.AssignTarget, cst.Return, cst.Expr),
    )


def substitute(
    node: cst.CSTNode,
    replace: Callable[[cst.CSTNode, cst.CSTNode | None], cst.CSTNode | None],
    parent: cst.CSTNode | None = None,
) -> cst.CSTNode:
    """`node` with every node for which `replace(node, parent)` gives a tree replaced by it; unchanged parts shared."""
    new = replace(node, parent)
    if new is not None:
        return new
    changes: dict[str, object] = {}
    for name in meaningful_fields(type(node)):
        value = getattr(node, name)
        if type(value) in PLAIN:
            continue
        if not isinstance(value, (tuple, list)):
            changed = substitute(value, replace, node)
            if changed is not value:
                changes[name] = changed
        else:
            items = [substitute(item, replace, node) for item in value]
            if any(a is not b for a, b in zip(items, value, strict=True)):
                changes[name] = items
    return node.with_changes(**changes) if changes else node


def _fill(tree: cst.CSTNode, holes: Mapping[str, cst.CSTNode | str]) -> cst.CSTNode:
    def put(node: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        if not is_hole(node):
            return None
        assert isinstance(node, cst.Name)
        value = holes.get(node.value.removeprefix("__"))
        if value is None:
            raise TypeError(f"nothing is given for the hole {node.value}")
        new = _expression(value) if isinstance(value, str) else value
        if isinstance(new, cst.BaseExpression) and parent is not None and not _loose(parent):
            return parenthesized(new)
        return new

    return substitute(tree, put)


def fill(text: str, **holes: cst.CSTNode | str) -> cst.BaseExpression:
    """The expression `text` with `__name` replaced by the tree (or text) given as `name`."""
    result = _fill(_expression(text), holes)
    assert isinstance(result, cst.BaseExpression)
    return result


def match(text: str, node: cst.CSTNode, resolve: Resolver | None = None) -> Bindings | None:
    """What the holes of the expression or one-line statement `text` stand for in `node`, or None.

    A hole that occurs twice must stand for the same syntax. A dotted name in the pattern matches a node that
    `resolve` says is that name, whatever it is called in this file, and none that means something else; one of which
    `resolve` says nothing, an attribute of a variable say, is compared as it is spelled.
    """
    if type(node) in EXPRESSIONS:
        pattern: cst.CSTNode = _expression(text)
    else:
        pattern = _statement(text)
        if isinstance(node, cst.BaseSmallStatement) and isinstance(pattern, cst.SimpleStatementLine):
            pattern = pattern.body[0]
    if type(pattern) is not type(node) and type(pattern) not in _NAMING:
        return None
    if type(node) is cst.Call and not _may_call(text, node, resolve):
        return None
    found: Bindings = {}
    return found if _unify(pattern, node, found, resolve) else None


def _may_call(text: str, node: cst.Call, resolve: Resolver | None) -> bool:
    """Whether a call's function has the last name of the one that the expression `text` calls; a quick look."""
    name = _called(text)
    if name is None:
        return True
    if type(node.func) is cst.Attribute:
        return node.func.attr.value == name
    target = resolve(node.func) if resolve is not None else None
    return target is not None and target.rpartition(".")[2] == name


@cache
def _called(text: str) -> str | None:
    """The last name of `a.b(...)`; None for what is no such call."""
    pattern = _expression(text)
    called = pattern.func if isinstance(pattern, cst.Call) else None
    return called.attr.value if isinstance(called, cst.Attribute) and not is_hole(called.attr) else None


def _unify(pattern: cst.CSTNode, node: cst.CSTNode, found: Bindings, resolve: Resolver | None) -> bool:
    if is_hole(pattern):
        assert isinstance(pattern, cst.Name)
        before = found.setdefault(pattern.value.removeprefix("__"), node)
        return before is node or key(before) == key(node)
    kind = type(pattern)
    told = _unify_name(pattern, node, resolve) if resolve is not None and kind in _NAMING else None
    if told is not None or kind is not type(node):
        return bool(told)
    fields = meaningful_fields(kind)
    return all(_unify_field(getattr(pattern, name), getattr(node, name), found, resolve) for name in fields)


def _unify_name(pattern: cst.CSTNode, node: cst.CSTNode, resolve: Resolver) -> bool | None:
    """The same for a name, by what it means; None where that tells nothing."""
    wanted = dotted(pattern)
    if wanted is None:
        return None
    meant = resolve(node)
    if type(pattern) is cst.Name or wanted.startswith("__"):
        return True if meant == wanted else None
    return meant == wanted if meant is not None or wanted.partition(".")[0] in _LIBRARIES else None


def _unify_field(a: Any, b: Any, found: Bindings, resolve: Resolver | None) -> bool:
    """The same for what two nodes of one type hold in one place: nodes, sequences of them, or plain values."""
    if type(a) is tuple or type(a) is list:
        return len(a) == len(b) and all(_unify(x, y, found, resolve) for x, y in zip(a, b, strict=True))
    if type(a) in PLAIN:
        return bool(a == b) or type(a) is cst.MaybeSentinel or type(b) is cst.MaybeSentinel
    return type(b) not in PLAIN and _unify(a, b, found, resolve)


def names_in(node: cst.CSTNode) -> set[str]:
    """All identifiers that occur in `node` as names of values (not as attributes or keywords)."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if type(current) is cst.Name:
            found.add(current.value)
        elif type(current) is cst.Attribute or type(current) is cst.Arg:
            stack.append(current.value)
        else:
            stack.extend(children(current))
    return found
