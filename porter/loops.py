"""Loops over the samples of a batch, read as operations on whole tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

import libcst as cst

from .project import SourceFile
from .syntax.kinds import Kind
from .syntax.template import names_in, substitute
from .syntax.walk import key, own_descendants, same

_Node = TypeVar("_Node", bound=cst.CSTNode)


@dataclass(frozen=True, slots=True)
class Range:
    """`tensor[i, :, start:end]` for every sample i: bounds as whole tensors (or numbers), None where left out."""

    tensor: cst.BaseExpression
    start: cst.BaseExpression | None
    end: cst.BaseExpression | None
    axes: int  # axes named between the sample and the range


@dataclass(frozen=True, slots=True)
class SampleLoop:
    """`for i in range(batch)` with the statements of its body, local names put in."""

    node: cst.For
    index: str
    statements: tuple[cst.Assign | cst.AugAssign, ...]


def sample_loop(file: SourceFile, node: cst.For) -> SampleLoop | None:
    """`node` as a loop over samples, if its body only assigns."""
    if not isinstance(node.target, cst.Name) or node.orelse is not None or not _over_batch(node.iter):
        return None
    index = node.target.value
    local: dict[str, cst.BaseExpression] = {}
    statements: list[cst.Assign | cst.AugAssign] = []
    for line in node.body.body:
        if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
            return None
        small = line.body[0]
        if isinstance(small, cst.Assign) and len(small.targets) == 1 and isinstance(small.targets[0].target, cst.Name):
            local[small.targets[0].target.value] = _inlined(small.value, local)
        elif isinstance(small, (cst.Assign, cst.AugAssign)):
            inlined = _inlined(small, local)
            assert isinstance(inlined, (cst.Assign, cst.AugAssign))
            statements.append(inlined)
        else:
            return None
    if not statements or _used_after(file, node, set(local) | {index}):
        return None
    return SampleLoop(node, index, tuple(statements))


def _over_batch(iterable: cst.BaseExpression) -> bool:
    return (
        isinstance(iterable, cst.Call)
        and isinstance(iterable.func, cst.Name)
        and iterable.func.value == "range"
        and len(iterable.args) == 1
    )


def _inlined(node: _Node, local: dict[str, cst.BaseExpression]) -> _Node:
    def put(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        if isinstance(part, cst.Name) and part.value in local and not isinstance(parent, cst.Attribute):
            return local[part.value]
        return None

    return cast(_Node, substitute(node, put))


def _used_after(file: SourceFile, loop: cst.For, names: set[str]) -> bool:
    """Whether a name that the loop binds is read after it (in the same block, before it is bound again)."""
    later = False
    for statement in file.siblings(loop):
        if statement is loop:
            later = True
        elif later and isinstance(statement, cst.For) and isinstance(statement.target, cst.Name):
            names = names - {statement.target.value}
            if names & {n.value for n in own_descendants(statement) if isinstance(n, cst.Name)}:
                return True
        elif later and names & {n.value for n in own_descendants(statement) if isinstance(n, cst.Name)}:
            return True
    return False


def sample_range(node: cst.CSTNode, index: str) -> Range | None:
    """`node` as `tensor[i, ..., start:end]`, with per-sample bounds `L[i]` read as the whole tensor `L`."""
    if not isinstance(node, cst.Subscript) or index in names_in(node.value):
        return None
    elements = [e.slice for e in node.slice]
    first = elements[0]
    if not (isinstance(first, cst.Index) and isinstance(first.value, cst.Name) and first.value.value == index):
        return None
    middle, last = elements[1:-1], elements[-1] if len(elements) > 1 else None
    if not all(_whole(e) for e in middle):
        return None
    if last is None or _whole(last):
        return Range(node.value, None, None, len(elements) - 1)
    if not isinstance(last, cst.Slice) or last.step is not None:
        return None
    bounds = []
    for bound in (last.lower, last.upper):
        whole = vectorized(bound, index) if bound is not None else None
        if bound is not None and whole is None:
            return None
        bounds.append(whole)
    return Range(node.value, bounds[0], bounds[1], len(middle))


def _whole(element: cst.CSTNode) -> bool:
    if isinstance(element, cst.Index):
        return isinstance(element.value, cst.Ellipsis)
    return isinstance(element, cst.Slice) and element.lower is None and element.upper is None and element.step is None


def vectorized(bound: cst.BaseExpression, index: str) -> cst.BaseExpression | None:
    """A per-sample number as a tensor over samples: `L[i] + 1` → `L + 1`; None if it depends on i otherwise."""

    def put(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        if isinstance(part, cst.Subscript) and len(part.slice) == 1 and isinstance(part.slice[0].slice, cst.Index):
            inner = part.slice[0].slice.value
            if isinstance(inner, cst.Name) and inner.value == index:
                return part.value
        return None

    whole = substitute(bound, put)
    assert isinstance(whole, cst.BaseExpression)
    if index in names_in(whole) or not all(_arithmetic(n) for n in own_descendants(whole)):
        return None
    return whole


def _arithmetic(node: cst.CSTNode) -> bool:
    return not isinstance(node, (cst.Call, cst.Subscript, cst.Lambda, cst.IfExp))


def per_sample(bound: cst.BaseExpression | None, original: cst.CSTNode, index: str) -> bool:
    """Whether a bound depends on the sample."""
    return bound is not None and index in {n.value for n in own_descendants(original) if isinstance(n, cst.Name)}


def window_size(start: cst.BaseExpression | None, end: cst.BaseExpression | None) -> cst.BaseExpression | None:
    """K, if `end` is `start + K`."""
    if start is None or not isinstance(end, cst.BinaryOperation) or not isinstance(end.operator, cst.Add):
        return None
    if same(end.left, start):
        return end.right
    return end.left if same(end.right, start) else None


def same_range(a: Range, b: Range) -> bool:
    """Whether two ranges cover the same positions."""
    return _key(a.start) == _key(b.start) and _key(a.end) == _key(b.end)


def _key(node: cst.CSTNode | None) -> object:
    return None if node is None else key(node)


def scalar(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a Python number."""
    inner = node.expression if isinstance(node, cst.UnaryOperation) else node
    return isinstance(inner, (cst.Integer, cst.Float)) or file.kind(node) is Kind.HOST


def assigned_before(file: SourceFile, statement: cst.BaseStatement, name: str) -> cst.SimpleStatementLine | None:
    """The closest earlier statement of the same block that is just `name = ...`, if nothing between reads the name."""
    found: cst.SimpleStatementLine | None = None
    for sibling in file.siblings(statement):
        if sibling is statement:
            break
        if _assigns(sibling, name):
            assert isinstance(sibling, cst.SimpleStatementLine)
            found = sibling
        elif name in set(_names(sibling)):
            found = None
    return found


def _assigns(statement: cst.BaseStatement, name: str) -> bool:
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return False
    small = statement.body[0]
    return (
        isinstance(small, cst.Assign)
        and len(small.targets) == 1
        and isinstance(small.targets[0].target, cst.Name)
        and small.targets[0].target.value == name
        and name not in names_in(small.value)
    )


def _names(node: cst.CSTNode) -> Iterator[str]:
    return (n.value for n in own_descendants(node) if isinstance(n, cst.Name))
