"""Python numbers that differ from step to step, as places in a tensor: each value of one is a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.project import SourceFile
from ...analysis.steps import ends_step, is_training_loop
from ...syntax.annotations import annotated
from ...syntax.calls import argument, method_call
from ...syntax.predicates import called, of_self, positional_parameters, targets
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
    for place in _places(file, node):
        number = changing(file, place)
        if number is not None:
            what = f"the place {brief(place)} is Python's and changes with {number}: each is a graph of its own"
            yield "SHP", node, what
            return


def _places(file: SourceFile, node: cst.Subscript) -> Iterator[cst.BaseExpression]:
    """The numbers in an index that say where, but literals; of a slice its beginning."""
    # A tensor that lives on from step to step: an attribute, or one that is written to.
    kept = isinstance(node.value, cst.Attribute) or isinstance(file.parent(node), cst.AssignTarget)
    for part in node.slice:
        match part.slice:
            case cst.Index(value=asked):
                pass
            case cst.Slice(lower=cst.BaseExpression() as asked) if kept or _drawn(file, asked):
                pass
            case _:
                continue
        if not isinstance(asked, (cst.Integer, cst.UnaryOperation)) and not may_be_tensor(file.kind(asked)):
            yield asked


def _drawn(
    file: SourceFile,
    node: cst.BaseExpression,
    left: int = _MOST_CALLS,
    seen: dict[cst.BaseExpression, int] | None = None,
) -> bool:
    """Whether a number comes from Python's own generator, at this place or where a name in it was assigned.

    `seen` holds what was looked into already, and how far.
    """
    seen = {} if seen is None else seen
    if left <= seen.get(node, 0):
        return False
    seen[node] = left
    for part in own_of_type(node, cst.Call, cst.Name):
        if isinstance(part, cst.Call) and file.full_name(part.func).startswith(_GENERATORS):
            return True
        if isinstance(part, cst.Name) and any(_drawn(file, v, left - 1, seen) for v in _assigned(file, part)):
            return True
    return False


def _assigned(file: SourceFile, name: cst.Name) -> Iterator[cst.BaseExpression]:
    """What statements other than its own assign to a name."""
    for binding in file.bindings(name):
        assign = file.parent(binding) if isinstance(binding, cst.AssignTarget) else None
        if isinstance(assign, cst.Assign) and assign not in file.ancestors(name):
            yield assign.value


def changing(file: SourceFile, node: cst.BaseExpression, left: int = _MOST_CALLS) -> str | None:
    """The name of a number in an expression that differs from step to step, if the expression has one."""
    return next(filter(None, (_changing(file, part, left) for part in _numbers(node))), None)


def _numbers(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The names, attributes and calls whose values an expression computes with."""
    stack = [node]
    while stack:
        part = stack.pop()
        match part:
            case cst.Call():
                yield part
                stack += [a.value for a in part.args] if called(part) in _OF_NUMBERS else []
            case cst.Attribute() | cst.Name():
                yield part
            case cst.Subscript() | cst.Lambda():
                pass
            case _:
                stack += children(part)


def _changing(file: SourceFile, part: cst.CSTNode, left: int) -> str | None:
    """What a name, an attribute or a call is called that gives another number in another step."""
    match part:
        case cst.Call():
            return target if (target := file.full_name(part.func)).startswith(_GENERATORS) else None
        case cst.Attribute():
            return dotted(part) if of_self(part) is not None and _counts_itself(file, part) else None
        case cst.Name():
            return part.value if _changes(file, part, left) else None
    return None


_OF_NUMBERS = ("int", "min", "max", "abs", "round")


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
            return _ends_graphs(file, binding)
        case cst.AugAssign():
            ends = any(_ends_graphs(file, loop) for loop in _around(file, binding))
            return ends and file.kind(binding.value) is Kind.HOST
        case cst.AssignTarget():
            assign = file.parent(binding)
            if not isinstance(assign, cst.Assign) or assign in file.ancestors(name):
                return False
            return changing(file, assign.value, left - 1) is not None
    return False


def _everywhere(file: SourceFile, name: str) -> Iterator[cst.CSTNode]:
    nodes = file.index.of_type(cst.AugAssign)
    return (node for node in nodes if dotted(node.target) == name and file.function(node) is not None)


def _parameter_changes(file: SourceFile, function: cst.FunctionDef, param: cst.Param, left: int) -> bool:
    """Whether callers give a parameter one number now and another then; without any, whether it is annotated as one."""
    assert isinstance(file.kinds, Followed)
    calls = file.kinds.calls_of(function)
    name = param.name.value
    if not calls:
        return _is_number(param)
    params = [p.name.value for p in positional_parameters(function)]
    for other, call, skipped in calls:
        place = params.index(name) - skipped if name in params else None
        given = argument(call, name, place)
        if given is not None and changing(other, given, left - 1) is not None:
            return True
    return False


def _is_number(param: cst.Param) -> bool:
    """Whether a parameter is an int, by its annotation or by its default."""
    if param.annotation is None:
        return isinstance(param.default, cst.Integer)
    note = param.annotation.annotation
    return dotted(note) == "int" or (annotated(note) is Kind.UNKNOWN and isinstance(param.default, cst.Integer))


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


def _counts_itself(file: SourceFile, attribute: cst.Attribute) -> bool:
    """Whether a class counts in an attribute: a method that is no constructor adds to it."""
    owner, name = file.owner(attribute), dotted(attribute)
    methods = (m for m in owner.body.body if isinstance(m, cst.FunctionDef)) if owner is not None else ()
    return any(
        _adds(file, node, name)
        for method in methods
        if method.name.value not in CONSTRUCTORS
        for node in own_of_type(method.body, cst.AugAssign, cst.Assign)
    ) and not may_be_tensor(file.kind(attribute))


def _adds(file: SourceFile, node: cst.BaseSmallStatement, name: str | None) -> bool:
    """Whether an assignment makes another number of what a name holds."""
    if isinstance(node, cst.AugAssign):
        return dotted(node.target) == name and not is_tensor(file.kind(node.value))
    mentions = isinstance(node, cst.Assign) and name in map(dotted, own_descendants(node.value))
    return mentions and any(dotted(target) == name for target in targets(node))
