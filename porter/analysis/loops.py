"""Loops over the samples of a batch, read as operations on whole tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import libcst as cst

from ..syntax.calls import method_call, positional
from ..syntax.predicates import only_index, only_small, only_target
from ..syntax.template import match, names_in, substitute
from ..syntax.values import Kind
from ..syntax.walk import children, descendants, dotted, key, own_descendants, own_of_type, same
from .numeric import is_number, shaped
from .project import SourceFile

_Node = TypeVar("_Node", bound=cst.CSTNode)
_OF_CHOICES = (  # what a condition is made of that is the same for all samples
    cst.Name, cst.Integer, cst.SimpleString, cst.Comparison, cst.ComparisonTarget, cst.BaseCompOp,
    cst.BaseParenthesizableWhitespace, cst.LeftParen, cst.RightParen,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """`tensor[i, :, start:end]` for every sample i: bounds as whole tensors (or numbers), None where left out."""

    tensor: cst.BaseExpression
    start: cst.BaseExpression | None
    end: cst.BaseExpression | None
    axes: int  # axes named between the sample and the range; an ellipsis counts as two
    moves: bool = False  # whether the bounds differ from sample to sample

    @property
    def is_whole(self) -> bool:
        """Whether it has no bounds."""
        return self.start is None and self.end is None


@dataclass(frozen=True, slots=True)
class SampleLoop:
    """`for i in range(batch)` with the statements of its body, local names put in."""

    node: cst.For
    index: str
    statements: tuple[cst.Assign | cst.AugAssign, ...]


@dataclass(frozen=True, slots=True)
class Branches:
    """A loop over samples that does one of two things with all of them."""

    test: cst.BaseExpression
    one: SampleLoop
    other: SampleLoop


def sample_loop(file: SourceFile, node: cst.For) -> SampleLoop | None:
    """`node` as a loop over samples, if its body only assigns."""
    return _of_lines(file, node, node.body.body) if isinstance(node.body, cst.IndentedBlock) else None


def sample_branches(file: SourceFile, node: cst.For) -> Branches | None:
    """`node` as two loops over samples, if its body ends with a choice between them that no sample changes."""
    match node:
        case cst.For(
            target=cst.Name(value=index),
            body=cst.IndentedBlock(
                body=[
                    *lines,
                    cst.If(
                        test=test,
                        body=cst.IndentedBlock(body=then),
                        orelse=cst.Else(body=cst.IndentedBlock(body=otherwise)),
                    ),
                ]
            ),
        ) if all(isinstance(part, _OF_CHOICES) for part in descendants(test)):
            bound = {index, *(name for line in lines for name in _names(line))}
            if names_in(test) & (bound & _assigned_first(node.body) | {index}):
                return None
            one, other = (_of_lines(file, node, [*lines, *block]) for block in (then, otherwise))
            return Branches(test, one, other) if one is not None and other is not None else None
    return None


def _of_lines(file: SourceFile, node: cst.For, lines: Sequence[cst.CSTNode]) -> SampleLoop | None:
    """A loop over samples, if `lines` in the place of its body only assign."""
    if not isinstance(node.target, cst.Name) or node.orelse is not None or not _over_batch(file, node.iter):
        return None
    index = node.target.value
    local, statements = _assignments(lines) or ({}, [])
    if not statements or _used_outside(file, node, set(local) | {index}):
        return None
    if any(_is_bound(file, s, node, index) for s in statements):
        return None  # there may be fewer bounds than samples
    read: set[str] = set().union(*map(_names, statements), *map(names_in, local.values()))
    return None if set(local) & read else SampleLoop(node, index, tuple(statements))  # else the sample before gave it


def _assignments(
    lines: Sequence[cst.CSTNode],
) -> tuple[dict[str, cst.BaseExpression], list[cst.Assign | cst.AugAssign]] | None:
    """The names that lines assign, once each, and their other assignments with the names' values put in.

    None where they do anything else, or carry a name from one turn of a loop to the next.
    """
    local: dict[str, cst.BaseExpression] = {}
    statements: list[cst.Assign | cst.AugAssign] = []
    for line in lines:
        small = line.body[0] if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None
        match small:
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
                value = _inlined(small.value, local)
                if name in names_in(value) or name in local:
                    return None  # carried from one sample to the next
                local[name] = value
            case cst.Assign() | cst.AugAssign():
                inlined = _inlined(small, local)
                assert isinstance(inlined, (cst.Assign, cst.AugAssign))
                statements.append(inlined)
            case _:
                return None
    return local, statements


def _over_batch(file: SourceFile, iterable: cst.BaseExpression) -> bool:
    match iterable:
        case cst.Call(func=cst.Name(value="range"), args=[cst.Arg(value=count)]):
            return _counted(file, count) is not None
    return False


def _counted(file: SourceFile, count: cst.BaseExpression) -> cst.CSTNode | None:
    """The tensor whose first axis a number is the length of: of `x.size(0)`, `len(x)`, or a name for just that."""
    for pattern in ("__x.size(0)", "__x.shape[0]", "__x.size()[0]", "len(__x)"):
        found = match(pattern, count)
        if found is not None:
            return found["x"]
    if not isinstance(count, cst.Name) or file.function(count) is None:
        return None
    once = file.assigned_once(file.index.scope_of(count).bindings.get(count.value, []))
    if once is None:
        return None
    target, made = once
    if not isinstance(target, cst.Tuple):
        return None if isinstance(made, cst.Name) else _counted(file, made)
    return shaped(made) if dotted(target.elements[0].value) == count.value else None


def _is_bound(file: SourceFile, statement: cst.CSTNode, loop: cst.For, index: str) -> bool:
    """Whether the tensor that a loop counts is one of numbers for the samples, `lengths[i]`, in a statement."""
    assert isinstance(loop.iter, cst.Call)
    counted = _counted(file, loop.iter.args[0].value)
    bounds = [n for part in own_of_type(statement, cst.Slice) for n in own_of_type(part, cst.Subscript)]
    return counted is not None and any(same(n.value, counted) and index in names_in(n) for n in bounds)


def _inlined(node: _Node, local: dict[str, cst.BaseExpression]) -> _Node:
    def put(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        if isinstance(part, cst.Name) and part.value in local and not isinstance(parent, cst.Attribute):
            return local[part.value]
        return None

    return cast(_Node, substitute(node, put))


def _used_outside(file: SourceFile, loop: cst.For, names: set[str]) -> bool:
    """Whether a name that the loop binds may be read outside it, with what the loop left there."""
    function = file.function(loop)
    around = list(file.ancestors(loop))
    later = any(isinstance(a, (cst.For, cst.While)) for a in around)  # then what stands before comes again
    stack: list[cst.CSTNode] = [function.body if function is not None else file.module]
    while stack:
        node = stack.pop()
        if node is loop:
            later = True
        elif later and _reads(file, node, names):
            return True
        elif not _binds_all(node, names, around if later else None):
            stack.extend(reversed(list(children(node))))
    return False


def _reads(file: SourceFile, node: cst.CSTNode, names: set[str]) -> bool:
    """Whether a node is one of some names, and stands for a value."""
    return type(node) is cst.Name and node.value in names and not file.is_label(node)


def _binds_all(node: cst.CSTNode, names: set[str], around: Sequence[cst.CSTNode] | None) -> bool:
    """Whether all of `names` that a node uses are its own: those of a comprehension, or of a loop.

    `around` are the nodes around the loop that bound the names; None before it, where no loop can hide what it left.
    """
    match node:
        case cst.ListComp() | cst.SetComp() | cst.DictComp() | cst.GeneratorExp():
            own = {n for c in descendants(node) if isinstance(c, cst.CompFor) for n in _names(c.target)}
        case cst.For(target=cst.Name(value=name)) if around is not None and node not in around:
            own = {name} | (names & _assigned_first(node.body))
        case _:
            return False
    return not (names - own) & {n.value for n in descendants(node) if isinstance(n, cst.Name)}


def _assigned_first(body: cst.BaseSuite) -> set[str]:
    """Names that a block assigns before it reads them."""
    bound: set[str] = set()
    read: set[str] = set()
    for statement in body.body:
        match statement:
            case cst.SimpleStatementLine(
                body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name)), *_], value=value), *_]
            ):
                read |= names_in(value)
                bound |= {name} - read
            case _:
                read |= set(_names(statement))
    return bound


def sample_range(node: cst.CSTNode | None, index: str) -> Range | None:
    """`node` as `tensor[i, ..., start:end]`, with per-sample bounds `L[i]` read as the whole tensor `L`."""
    if not isinstance(node, cst.Subscript) or index in names_in(node.value):
        return None
    first, *rest = [e.slice for e in node.slice]
    if not (isinstance(first, cst.Index) and dotted(first.value) == index and all(map(_whole, rest[:-1]))):
        return None
    if all(map(_whole, rest)):
        return Range(node.value, None, None, len(rest))
    *middle, last = rest
    bounds = _bounds(last, index)
    if bounds is None:
        return None
    any_rank = any(isinstance(e, cst.Index) for e in middle)  # an ellipsis, and as many axes as there are
    return Range(node.value, *bounds, len(middle) + any_rank, index in names_in(last))


def _bounds(part: cst.BaseSlice, index: str) -> tuple[cst.BaseExpression | None, cst.BaseExpression | None] | None:
    """The bounds of a slice as whole tensors, if it has no step."""
    if not isinstance(part, cst.Slice) or part.step is not None:
        return None
    bounds = (part.lower, part.upper)
    lower, upper = (vectorized(bound, index) if bound is not None else None for bound in bounds)
    return None if (lower is None, upper is None) != (bounds[0] is None, bounds[1] is None) else (lower, upper)


def _whole(element: cst.CSTNode) -> bool:
    if isinstance(element, cst.Index):
        return isinstance(element.value, cst.Ellipsis)
    return isinstance(element, cst.Slice) and element.lower is None and element.upper is None and element.step is None


def vectorized(bound: cst.BaseExpression, index: str) -> cst.BaseExpression | None:
    """A per-sample number as a tensor over samples: `L[i].item() + 1` → `L + 1`; None if it depends on i otherwise."""

    def put(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        read = match("__x.item()", part) if isinstance(part, cst.Call) else None
        part = read["x"] if read is not None else part
        of_sample = (inner := only_index(part)) is not None and dotted(inner) == index
        return part.value if isinstance(part, cst.Subscript) and of_sample else None

    whole = substitute(bound, put)
    assert isinstance(whole, cst.BaseExpression)
    if index in names_in(whole) or not all(_arithmetic(n) for n in own_descendants(whole)):
        return None
    return whole


def _arithmetic(node: cst.CSTNode) -> bool:
    # A difference may be negative, which Python counts from the end.
    return not isinstance(node, (cst.Call, cst.Subscript, cst.Lambda, cst.IfExp, cst.Subtract, cst.UnaryOperation))


def of_last_axis(file: SourceFile, *ranges: Range) -> bool:
    """Whether ranges that are copied or compared are of their tensors' last axis. `x[i, a:b]` is one of rows if every
    sample is a matrix, so that there one of the tensors has to be known to have two axes.
    """
    return all(r.axes for r in ranges) or any(_is_plane(file, r.tensor) for r in ranges)


def _is_plane(file: SourceFile, tensor: cst.BaseExpression) -> bool:
    """Whether a local tensor is known to have two axes: unpacked as `b, t = x.shape`, or made with two sizes."""
    function = file.function(tensor) if isinstance(tensor, cst.Name) else None
    return function is not None and any(
        _tells_plane(file, tensor, assign) for assign in own_of_type(function.body, cst.Assign)
    )


def _tells_plane(file: SourceFile, tensor: cst.BaseExpression, assign: cst.Assign) -> bool:
    """Whether an assignment shows that a tensor has two axes."""
    target = only_target(assign)
    if isinstance(target, cst.Tuple):
        shape = shaped(assign.value)
        return shape is not None and len(target.elements) == 2 and same(shape, tensor)
    made = method_call(assign.value, "new_zeros", "new_empty", "new_ones")
    if made is None or target is None or dotted(target) != dotted(tensor):
        return False
    sizes = positional(made[1])
    return len(sizes) == 2 and all(is_number(file, size) or isinstance(size, cst.Name) for size in sizes)


def window(of: Range) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """Where a range begins and K, if it ends K behind that."""
    start, end = of.start, of.end
    if start is None or not isinstance(end, cst.BinaryOperation) or not isinstance(end.operator, cst.Add):
        return None
    if same(end.left, start):
        return start, end.right
    return (start, end.left) if same(end.right, start) else None


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
    match only_small(statement):
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=bound))], value=value):
            return bound == name and name not in names_in(value)
    return False


def _names(node: cst.CSTNode) -> Iterator[str]:
    return (n.value for n in own_of_type(node, cst.Name))
