"""Python numbers that differ from step to step, as places in a tensor: each value of one is a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.project import SourceFile
from ...analysis.steps import ends_step, is_training_loop
from ...syntax.annotations import annotated
from ...syntax.calls import argument, method_call
from ...syntax.kinds import is_plain
from ...syntax.values import Kind, is_tensor, may_be_tensor
from ...syntax.walk import brief, children, dotted, own_descendants, own_of_type
from . import known
from .asking import Found, on_host
from .follow import Followed
from .follow.binding import CONSTRUCTORS

_GENERATORS = ("random.", "numpy.random.", "secrets.")  # a number of its own in each step
_MOST_CALLS = 8  # how far a number is followed through callers


def counted(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`buffer[step % n] = x`, `table[:, length + i]`, where the host counts."""
    assert isinstance(node, cst.Subscript)
    if on_host(file, node) or not is_tensor(file.kind(node.value)):
        return
    kept = _is_kept(file, node)
    for part in node.slice:
        index = part.slice
        asked: cst.BaseExpression | None = None
        if isinstance(index, cst.Index):
            asked = index.value
        elif isinstance(index, cst.Slice) and (kept or _drawn(file, index.lower)):
            asked = index.lower
        if asked is None or isinstance(asked, (cst.Integer, cst.UnaryOperation)) or may_be_tensor(file.kind(asked)):
            continue
        number = changing(file, asked)
        if number is not None:
            yield (
                "SHP",
                node,
                f"the place {brief(asked)} is Python's and changes with {number}: each is a graph of its own",
            )
            return


def _drawn(
    file: SourceFile,
    node: cst.BaseExpression | None,
    left: int = _MOST_CALLS,
    seen: dict[cst.BaseExpression, int] | None = None,
) -> bool:
    """Whether a number comes from Python's own generator, at this place or where a name in it was assigned.

    `seen` holds what was looked into already, and how far.
    """
    seen = {} if seen is None else seen
    if node is None or left <= seen.get(node, 0):
        return False
    seen[node] = left
    for part in own_of_type(node, cst.Call, cst.Name):
        if isinstance(part, cst.Call):
            if (file.resolve(part.func) or "").startswith(_GENERATORS):
                return True
            continue
        assert isinstance(part, cst.Name)
        found = file.index.scope_of(part).lookup(part.value)
        for binding in found[1] if found is not None else ():
            assign = file.parent(binding) if isinstance(binding, cst.AssignTarget) else None
            if not isinstance(assign, cst.Assign) or _inside(file, part, assign):
                continue
            if _drawn(file, assign.value, left - 1, seen):
                return True
    return False


def _is_kept(file: SourceFile, node: cst.Subscript) -> bool:
    """Whether a tensor lives on from step to step: an attribute, or one that is written to."""
    return isinstance(node.value, cst.Attribute) or isinstance(file.parent(node), cst.AssignTarget)


def changing(file: SourceFile, node: cst.BaseExpression, left: int = _MOST_CALLS) -> str | None:
    """The name of a number in an expression that differs from step to step, if the expression has one."""
    stack: list[cst.CSTNode] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, cst.Call):
            target = file.resolve(part.func) or ""
            if target.startswith(_GENERATORS):
                return target
            if (dotted(part.func) or "") in ("len", "int", "min", "max", "abs", "round"):
                stack += [] if dotted(part.func) == "len" else [a.value for a in part.args]
        elif isinstance(part, cst.Attribute):
            if dotted(part.value) == "self" and _counts_itself(file, part):
                return dotted(part)
        elif isinstance(part, cst.Name):
            if _changes(file, part, left):
                return part.value
        elif not isinstance(part, (cst.Subscript, cst.Lambda)):
            stack += children(part)
    return None


def _changes(file: SourceFile, name: cst.Name, left: int) -> bool:
    found = file.index.scope_of(name).lookup(name.value)
    if found is None or left <= 0:
        return False
    scope, bindings = found
    if scope is file.index.root:
        return any(isinstance(b, cst.AugAssign) for b in _everywhere(file, name.value))
    return any(_binds_another(file, name, scope.node, binding, left) for binding in bindings)


def _binds_another(file: SourceFile, name: cst.Name, space: cst.CSTNode, binding: object, left: int) -> bool:
    """Whether one binding of a name, in a function or class, gives it another number from graph to graph."""
    match binding:
        case cst.Param():
            return isinstance(space, cst.FunctionDef) and _parameter_changes(file, space, binding, left)
        case cst.For():
            return _loop_counts(file, binding)
        case cst.AugAssign():
            ends = any(_ends_graphs(file, loop) for loop in _around(file, binding))
            return ends and file.kind(binding.value) is Kind.HOST
        case cst.AssignTarget():
            assign = file.parent(binding)
            if not isinstance(assign, cst.Assign) or _inside(file, name, assign):
                return False
            return changing(file, assign.value, left - 1) is not None
    return False


def _everywhere(file: SourceFile, name: str) -> Iterator[cst.CSTNode]:
    return (
        node
        for node in file.index.nodes
        if type(node) is cst.AugAssign and dotted(node.target) == name and file.function(node) is not None
    )


def _parameter_changes(file: SourceFile, function: cst.FunctionDef, param: cst.Param, left: int) -> bool:
    """Whether callers give a parameter one number now and another then; without any, whether it is annotated as one."""
    assert isinstance(file.kinds, Followed)
    calls = file.kinds.calls_of(function)
    name = param.name.value
    if not calls:
        noted = annotated(param.annotation.annotation) if param.annotation is not None else Kind.UNKNOWN
        number = dotted(param.annotation.annotation) == "int" if param.annotation is not None else False
        return number or (noted is Kind.UNKNOWN and isinstance(param.default, cst.Integer) and is_plain(param.default))
    params = [p.name.value for p in (*function.params.posonly_params, *function.params.params)]
    for other, call, skipped in calls:
        place = params.index(name) - skipped if name in params else None
        given = argument(call, name, place)
        if given is not None and changing(other, given, left - 1) is not None:
            return True
    return False


def _loop_counts(file: SourceFile, loop: cst.For) -> bool:
    return _ends_graphs(file, loop)


def _around(file: SourceFile, node: cst.CSTNode) -> Iterator[cst.For | cst.While]:
    for around in file.ancestors(node):
        if isinstance(around, (cst.FunctionDef, cst.Lambda)):
            return
        if isinstance(around, (cst.For, cst.While)):
            yield around


def _ends_graphs(file: SourceFile, loop: cst.For | cst.While) -> bool:
    """Whether each turn of a loop ends in a graph of its own: it trains, ends its step, or asks for a value."""
    if is_training_loop(loop):
        return True
    for node in own_descendants(loop.body):
        if isinstance(node, (cst.If, cst.While)) and is_tensor(file.kind(node.test)):
            return True
        read = method_call(node, *known.READS)
        if read is not None and may_be_tensor(file.kind(read[0])):
            return True
        if isinstance(node, cst.SimpleStatementLine) and ends_step(file, node):
            return True
    return False


def _inside(file: SourceFile, name: cst.Name, assign: cst.Assign) -> bool:
    return any(around is assign for around in file.ancestors(name))


def _counts_itself(file: SourceFile, attribute: cst.Attribute) -> bool:
    """Whether a class counts in an attribute: a method that is no constructor adds to it."""
    owner, name = file.owner(attribute), dotted(attribute)
    if owner is None:
        return False
    for method in owner.body.body:
        if not isinstance(method, cst.FunctionDef) or method.name.value in CONSTRUCTORS:
            continue
        for node in own_of_type(method.body, cst.AugAssign, cst.Assign):
            if isinstance(node, cst.AugAssign):
                counts = dotted(node.target) == name and not is_tensor(file.kind(node.value))
            else:
                assert isinstance(node, cst.Assign)
                mentions = any(dotted(part) == name for part in own_descendants(node.value))
                counts = mentions and any(dotted(t.target) == name for t in node.targets)
            if counts and not may_be_tensor(file.kind(attribute)):
                return True
    return False
