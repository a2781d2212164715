"""Proof that integer labels are at least 0 and below a number."""

from __future__ import annotations

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.predicates import only_index, only_target, targets
from ..syntax.template import match, names_in
from ..syntax.values import Kind
from ..syntax.walk import dotted, names_called, own_of_type, same
from .arguments import bind
from .project import SourceFile

_SAME_LABELS = ("long", "int", "flatten", "view", "reshape", "contiguous", "detach", "clone", "squeeze", "unsqueeze")
_INDEXED = ("max", "min", "topk", "sort", "kthvalue", "mode")  # their second result says where, along an axis
_PLACES = ("argmax", "argmin", "argsort")


def labels_below(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression) -> bool:
    """Whether `labels`, a tensor of integers, can hold nothing but 0 to `count` - 1, read where they are used.

    The proof is in the expression that makes them: a remainder, a clamp, places along an axis, draws, a mask. A local
    name stands for what was assigned to it, if that happens once and everybody else only reads it.
    """
    return _asks_sizes(count) and _steady(file, labels, count) and _below(file, labels, count)


def _below(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression, whole: bool = False) -> bool:
    """`whole`: the same of labels that are integers by themselves, so that making integers of them changes none."""
    if isinstance(labels, cst.Name):
        made = _made(file, labels, next_to=_asks_objects(count))
        return made is not None and _steady(file, made, count) and _below(file, made, count, whole)
    found = method_call(labels, *_SAME_LABELS)
    if found is None:
        proofs = (_drawn, _places) if whole else (_remainder, _clamped, _drawn, _places)
        return any(proof(file, labels, count) for proof in proofs)
    if method_call(labels, "long", "int") and file.kind(found[0]) is Kind.MASK:
        return _literal(count, 2)
    return file.resolve(found[1].func) is None and _below(file, found[0], count, whole=True)


def _remainder(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression) -> bool:
    found = match("__x % __n", labels)
    if found is not None:
        return _at_most(found["n"], count)
    by = _given(file, labels, "remainder").get("other")
    return by is not None and _at_most(by, count)


def _clamped(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression) -> bool:
    given = _given(file, labels, "clamp", "clip")
    low, high = given.get("min"), given.get("max")
    if low is None or high is None or not _literal(low, 0):
        return False
    below = match("__n - 1", high)
    number = _number(high)
    return _at_most(below["n"], count) if below is not None else number is not None and _literal(count, number + 1)


def _drawn(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression) -> bool:
    given = _given(file, labels, "randint")
    low, high = given.get("low"), given.get("high")
    return high is not None and _at_most(high, count) and (low is None or _literal(low, 0))


def _places(file: SourceFile, labels: cst.BaseExpression, count: cst.BaseExpression) -> bool:
    """Places along an axis of a tensor, with the size of that axis as their number."""
    call: cst.BaseExpression = labels
    names: tuple[str, ...] = _PLACES
    match labels:
        case cst.Attribute(value=value, attr=cst.Name(value="indices")):
            call, names = value, _INDEXED
        case cst.Subscript(value=value) if (index := only_index(labels)) is not None and _number(index) == 1:
            call, names = value, _INDEXED
    given = _given(file, call, *names)
    values, axis = given.get("input"), given.get("dim")
    size = match("__t.shape[__d]", count) or match("__t.size(__d)", count)
    if values is None or axis is None or size is None:
        return False
    return same(size["t"], values) and same(size["d"], axis) and _number(axis) is not None


def _given(file: SourceFile, node: cst.BaseExpression, *names: str) -> dict[str, cst.BaseExpression]:
    """The arguments of a call of one of torch's functions, or of a method of that name; its tensor is `input`."""
    function = file.resolve(node.func) if isinstance(node, cst.Call) else None
    if isinstance(node, cst.Call) and function in {f"torch.{name}" for name in names}:
        return dict(bind(file, node) or {})
    method = method_call(node, *names) if function is None else None
    given = bind(file, method[1]) if method is not None else None
    return {} if method is None or given is None else {"input": method[0], **given}


def _made(file: SourceFile, name: cst.Name, next_to: bool) -> cst.BaseExpression | None:
    """What was assigned to a local name, once and before in the same block, if everybody else only reads it.

    `next_to`: with no statement between that and this use of it.
    """
    function = file.function(name)
    if function is None or len(file.index.scopes[function].bindings.get(name.value, ())) != 1:
        return None
    first, *others = names_called(function.body, name.value)
    made = file.parent(file.parent(first) or first)  # the first of them is where it is assigned
    if only_target(made) is not first or not isinstance(made, cst.Assign):
        return None
    later = file.following(made)
    there = file.statement(name) in (later[:1] if next_to else later)
    return made.value if there and all(_only_reads(file, n) for n in others) else None


def _only_reads(file: SourceFile, use: cst.Name) -> bool:
    parent = file.parent(use)
    if isinstance(parent, cst.Arg):
        call = file.parent(parent)
        return parent.keyword is use or (isinstance(call, cst.Call) and file.resolve(call.func) == "torch.bincount")
    if isinstance(parent, cst.Attribute):
        return parent.attr is use or parent.attr.value in ("shape", "device", "dtype", "size", "bincount")
    return isinstance(parent, (cst.BinaryOperation, cst.Comparison, cst.ComparisonTarget))


def _steady(file: SourceFile, *expressions: cst.BaseExpression) -> bool:
    """Whether every name and attribute in these means one thing all along its function."""
    return all(_is_steady(file, expression, file.function(expression)) for expression in expressions)


def _is_steady(file: SourceFile, expression: cst.BaseExpression, function: cst.FunctionDef | None) -> bool:
    if function is None:
        return True
    bindings = file.index.scopes[function].bindings
    if any(len(bindings.get(name, ())) > 1 for name in names_in(expression)):
        return False
    attributes = {dotted(n) for n in own_of_type(expression, cst.Attribute)}
    written = (target for n in own_of_type(function.body, cst.Assign) for target in targets(n))
    return not any(dotted(target) in attributes for target in written if isinstance(target, cst.Attribute))


def _asks_objects(count: cst.BaseExpression) -> bool:
    """Whether an expression reads attributes, other than a local tensor's shape: a call may change those."""
    read = own_of_type(count, cst.Attribute)
    return any(a.attr.value not in ("shape", "size") or not isinstance(a.value, cst.Name) for a in read)


def _asks_sizes(count: cst.BaseExpression) -> bool:
    """Whether an expression gives the same number whenever it is asked: its only calls are for a size."""
    calls = own_of_type(count, cst.Call)
    return all(isinstance(c.func, cst.Attribute) and c.func.attr.value == "size" for c in calls)


def _at_most(number: cst.CSTNode, count: cst.BaseExpression) -> bool:
    known = _number(number)
    return same(number, count) or (known is not None and known > 0 and _literal(count, known))


def _literal(node: cst.CSTNode, least: int) -> bool:
    """Whether `node` is a number written out, of that size at least."""
    known = _number(node)
    return known is not None and known >= least


def _number(node: cst.CSTNode) -> int | None:
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        known = _number(node.expression)
        return None if known is None else -known
    return int(node.value, 0) if isinstance(node, cst.Integer) else None
