"""Tensors that grow: by each turn of a loop, or by each call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import libcst as cst

from ...analysis.project import SourceFile
from ...syntax.calls import argument
from ...syntax.predicates import only_target, targets
from ...syntax.values import Instance, Kind
from ...syntax.walk import brief, code, dotted, own_descendants, own_of_type, same
from .asking import Found, torch_names

_JOINS = frozenset(f"torch.{n}" for n in "cat concat concatenate hstack vstack dstack row_stack column_stack".split())
_PAD = "torch.nn.functional.pad"
_COUNTING = frozenset("range len enumerate zip reversed list tuple min max".split())


def growing(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`x = torch.cat([x, y])` in a loop, and `self.seen = torch.cat([self.seen, y])` anywhere."""
    assert isinstance(node, cst.Assign)
    target = only_target(node) if node in file.fact(_joining) else None
    if target is None or file.function(node) is None:
        return
    parts = [part for call in own_of_type(node.value, cst.Call) for part in _lengthened(file, call)]
    if isinstance(target, cst.Name):
        grows, when = _grows_in_loop(file, node, target.value, parts), "turn of the loop"
    else:
        grows, when = any(same(part, target) for part in parts), "call"
    if grows:
        yield "SHP", node, f"{brief(target)} grows with each {when}: each length is a graph of its own"


def _joining(file: SourceFile) -> frozenset[cst.CSTNode]:
    """The assignments that name a function which gives back something longer."""
    named = (node for node, target in file.fact(torch_names).items() if target in _JOINS or target == _PAD)
    return frozenset(around for node in named for around in file.ancestors(node) if type(around) is cst.Assign)


def _grows_in_loop(file: SourceFile, node: cst.Assign, name: str, parts: list[cst.BaseExpression]) -> bool:
    """Whether an assignment lengthens one of `parts` in each turn of a loop that has now more turns, now fewer."""
    loops = _loops(file, node) if parts else ()
    return any(_carried(loop, node, name, _names(parts)) for loop in loops if not _is_fixed(file, loop))


def _lengthened(file: SourceFile, call: cst.Call) -> Iterator[cst.BaseExpression]:
    """What a call gives back longer: the parts of a concatenation, the input of a padding."""
    if isinstance(file.parent(call), cst.Subscript):
        return  # cut again, at once
    target = file.resolve(call.func)
    if target in _JOINS:
        yield from _joined(argument(call, "tensors", 0))
    elif target == _PAD:
        padded = argument(call, "input", 0)
        if padded is not None:
            yield padded


def _joined(parts: cst.BaseExpression | None) -> Iterator[cst.BaseExpression]:
    """The elements of a list, or of the lists that a sum puts in one."""
    match parts:
        case cst.List() | cst.Tuple():
            yield from (e.value for e in parts.elements)
        case cst.BinaryOperation():  # [x] + others
            lists = (part for part in (parts.left, parts.right) if isinstance(part, cst.List))
            yield from (e.value for part in lists for e in part.elements)


def _loops(file: SourceFile, node: cst.CSTNode) -> Iterator[cst.For | cst.While]:
    """The loops whose bodies a node is part of, in its function, innermost first."""
    for around, child in file.steps_out(node):
        if isinstance(around, (cst.FunctionDef, cst.Lambda)):
            return
        if isinstance(around, (cst.For, cst.While)) and child is around.body:
            yield around


def _is_fixed(file: SourceFile, loop: cst.For | cst.While) -> bool:
    """Whether a loop has as many turns each time: over layers, over literals, over what the constructor set."""
    if isinstance(loop, cst.While):
        return False
    kind = file.kind(loop.iter)
    if kind is Kind.MODULE or isinstance(kind, Instance):
        return True
    return all(
        part.value in _COUNTING or _is_setting(file, part)
        for part in own_descendants(loop.iter)
        if type(part) is cst.Name
    )


def _is_setting(file: SourceFile, name: cst.Name) -> bool:
    """Whether a name is only there to reach an attribute of `self`, or is such an attribute's or a method's name."""
    parent = file.parent(name)
    if isinstance(parent, cst.Attribute) and parent.attr is name:
        return not isinstance(file.parent(parent), cst.Call) or dotted(parent.value) == "self"
    return name.value == "self" or (isinstance(parent, cst.Arg) and parent.keyword is name)


def _carried(loop: cst.For | cst.While, node: cst.Assign, name: str, lengthened: set[str]) -> bool:
    """Whether a turn of the loop lengthens what the turn before it left."""
    carried = name in lengthened
    before = True
    for other in own_of_type(loop.body, cst.Assign):
        bound = _names(targets(other))
        if other is node:
            before = False
        elif name in bound and _shortens(other, name, before):
            return False
        elif dotted(other.value) == name and not bound.isdisjoint(lengthened):
            carried = True
    return carried


def _names(nodes: Iterable[cst.CSTNode]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, cst.Name)}


def _shortens(assign: cst.Assign, name: str, before: bool) -> bool:
    """Whether an assignment cuts what a name holds, `x = x[:, -n:]`, or makes it anew, `before` it is lengthened."""
    value = assign.value
    cuts = isinstance(value, cst.Subscript) and code(value.value) == name
    return cuts or (before and not any(type(n) is cst.Name and n.value == name for n in own_descendants(value)))
