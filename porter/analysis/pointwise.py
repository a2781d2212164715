"""Proof that a function treats every position of its leading axes alike, so that it may be called on all of them."""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from ..syntax.calls import argument, has_star, method_call
from ..syntax.predicates import is_none, own_name
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import children, dotted, own_descendants, own_of_type
from .arguments import argument_for, bind
from .project import SourceFile
from .truths import is_tensor_truth, only_reports

_POINTWISE = frozenset(
    "exp log log1p expm1 sqrt rsqrt abs sigmoid tanh softplus relu gelu silu where clamp clamp_min clamp_max "
    "zeros_like ones_like full_like square sign neg sin cos pow logsigmoid leaky_relu clone detach float to add sub "
    "mul div reciprocal maximum minimum".split()
)
_LAST_AXIS = frozenset("softmax log_softmax cumsum cumprod sum mean prod logsumexp gather argmax flip max min".split())
_REDUCES = frozenset("sum mean prod logsumexp argmax max min".split())
_TURNED = frozenset("T mT H mH".split())


def is_pointwise(
    file: SourceFile, function: cst.FunctionDef, bare: frozenset[str] = frozenset(), depth: int = 0
) -> bool:
    """Whether `function` mixes no two positions of its tensors' leading axes and changes none of its arguments.

    `bare` are the parameters that have leading axes only, so that even their last axis must be left alone.
    Conservative: operations are known to be elementwise, or run along the last axis, or the answer is no. Conditions on
    tensor values that only raise or print do not count: they are checked on the host alone.
    """
    params = {p.name.value for p in (*function.params.params, *function.params.kwonly_params)}
    return _spares_bare(file, function, bare, depth) and all(
        _keeps_positions(file, node, params, depth) for node in own_descendants(function.body)
    )


def _keeps_positions(file: SourceFile, node: cst.CSTNode, params: set[str], depth: int) -> bool:
    """The same for one node of a function with these parameters."""
    match node:
        case cst.Call():
            return _in_check(file, node) or _call_ok(file, node, depth)
        case cst.Subscript():
            return file.kind(node.value) is Kind.HOST or _index_ok(file, node)
        case cst.For() | cst.While() | cst.AugAssign() | cst.AssignTarget():
            return _own(node, params)
        case cst.If():
            return not is_tensor_truth(file, node.test) or only_reports(node.body)
    return True


def _bare_names(function: cst.FunctionDef, given: frozenset[str]) -> frozenset[str]:
    """`given`, and the names that get their shape from them or lose their own last axis."""
    found = set(given)
    grew = True
    while grew:
        before = len(found)
        for node in own_descendants(function.body):
            if isinstance(node, cst.Assign) and _is_bare(node.value, found):
                found |= {n.value for t in node.targets for n in own_of_type(t.target, cst.Name)}
        grew = len(found) > before
    return frozenset(found)


def _is_bare(node: cst.CSTNode, bare: set[str] | frozenset[str]) -> bool:
    """Whether an expression may have no last axis of its own."""
    match node:
        case cst.Subscript():
            return not _new_axis(node) and _is_bare_part(node, bare)
        case cst.Name():
            return node.value in bare
        case cst.Attribute():
            return node.attr.value not in ("shape", "dtype", "device") and _is_bare(node.value, bare)
        case cst.Call() if method_call(node, "size", "dim"):
            return False
        case cst.Call() if method_call(node, *_REDUCES) and dotted(argument(node, "keepdim")) != "True":
            return True
    return any(_is_bare(c, bare) for c in children(node))


def _is_bare_part(node: cst.Subscript, bare: set[str] | frozenset[str]) -> bool:
    return not _shape(node.value) and (isinstance(node.slice[-1].slice, cst.Index) or _is_bare(node.value, bare))


def _new_axis(node: cst.Subscript) -> bool:
    """`x[..., None]`"""
    last = node.slice[-1].slice
    return isinstance(last, cst.Index) and is_none(last.value)


def _mixes(node: cst.CSTNode, bare: frozenset[str]) -> bool:
    """Whether a node turns or contracts axes, or reads along the last axis of something that has none of its own."""
    if isinstance(node, (cst.MatrixMultiply, cst.MatrixMultiplyAssign)):
        return True
    if isinstance(node, cst.Attribute):
        return node.attr.value in _TURNED or (node.attr.value == "shape" and _is_bare(node.value, bare))
    return isinstance(node, cst.Subscript) and not _new_axis(node) and _is_bare(node.value, bare)


def _spares_bare(file: SourceFile, function: cst.FunctionDef, given: frozenset[str], depth: int) -> bool:
    """Whether a function leaves the last axis of what has leading axes only alone, and turns no axes."""
    bare = _bare_names(function, given)
    nodes = list(own_descendants(function.body))
    return not any(_mixes(n, bare) or (isinstance(n, cst.Call) and not _spares(file, n, bare, depth)) for n in nodes)


def _spares(file: SourceFile, node: cst.Call, bare: frozenset[str], depth: int) -> bool:
    """Whether a call works along the last axis only where there is one of its own."""
    if _in_check(file, node):
        return True
    definition = file.project.function(file.resolve(node.func))
    if definition is not None:
        names = _bare_arguments(definition[1], node, bare)
        return names is not None and depth < 3 and _spares_bare(*definition, names, depth + 1)
    found = method_call(node, *_LAST_AXIS, "pad", "size")
    if found is None:
        return True
    first = next((a.value for a in node.args), None) if file.resolve(node.func) is not None else found[0]
    return first is not None and not _is_bare(first, bare)


def _bare_arguments(function: cst.FunctionDef, call: cst.Call, bare: frozenset[str]) -> frozenset[str] | None:
    """The parameters that a call gives something bare; None for a call with stars."""
    if has_star(call):
        return None
    return bare_parameters(function, call, frozenset(a.value for a in call.args if _is_bare(a.value, bare)))


def bare_parameters(function: cst.FunctionDef, call: cst.Call, bare: frozenset[cst.CSTNode]) -> frozenset[str]:
    """The parameters that receive the arguments in `bare`."""
    params = [p.name.value for p in function.params.params]
    named = [
        a.keyword.value if a.keyword is not None else n
        for a, n in zip(call.args, [*params, *"?" * len(call.args)], strict=False)
    ]
    return frozenset(n for n, a in zip(named, call.args, strict=True) if a.value in bare)


def _own(node: cst.CSTNode, params: set[str]) -> bool:
    """Whether an assignment changes something that the function made itself (or only rebinds a name)."""
    if isinstance(node, (cst.For, cst.While)):
        return False
    target = node.target if isinstance(node, (cst.AugAssign, cst.AssignTarget)) else node
    if isinstance(target, cst.Subscript):
        return isinstance(target.value, cst.Name) and target.value.value not in params
    return isinstance(target, cst.Name) and not (isinstance(node, cst.AugAssign) and target.value in params)


def _in_check(file: SourceFile, node: cst.CSTNode) -> bool:
    return any(
        isinstance(around, (cst.Raise, cst.Assert))
        or (isinstance(around, cst.If) and child is around.test and only_reports(around.body))
        for around, child in file.steps_out(node)
    )


def _call_ok(file: SourceFile, node: cst.Call, depth: int) -> bool:
    target = file.resolve(node.func)
    definition = file.project.function(target)
    if definition is not None:
        return depth < 3 and _callee_ok(definition[0], definition[1], depth)
    if target is not None and not target.startswith("torch."):
        return target.startswith(("numpy.", "math."))
    name = own_name(node.func) or ""
    if name in _POINTWISE:  # torch.where of a condition alone gives places
        return name != "where" or len(node.args) > 1
    return _named_ok(file, node, name, target)


def _named_ok(file: SourceFile, node: cst.Call, name: str, target: str | None) -> bool:
    """The same for the functions of torch, and of Python's, of which it depends on the arguments."""
    only = node.args[0].value if len(node.args) == 1 else None
    match name:
        case "size":
            return target is None and _minus_one(only)
        case "format" | "ValueError" | "RuntimeError":
            return True
        case "int" if isinstance(node.func, cst.Name):
            return only is not None and not is_tensor(file.kind(only))
        case "pad":
            widths = argument_for(file, node, "pad")
            return isinstance(widths, (cst.Tuple, cst.List)) and len(widths.elements) == 2
    return name in _LAST_AXIS and _along_last(bind(file, node, "dim", "dims"))


def _along_last(axes: Mapping[str, cst.BaseExpression] | None) -> bool:
    return bool(axes and all(map(_minus_one, axes.values())))


def _callee_ok(file: SourceFile, function: cst.FunctionDef, depth: int) -> bool:
    """A helper of the package; it may write along the last axis of its argument, which is a local of ours."""
    return is_pointwise(file, function, depth=depth + 1) or _only_last_axis_writes(file, function, depth + 1)


def _only_last_axis_writes(file: SourceFile, function: cst.FunctionDef, depth: int) -> bool:
    for node in own_descendants(function.body):
        if isinstance(node, cst.Call) and not _call_ok(file, node, depth):
            return False
        if isinstance(node, cst.Subscript) and not _index_ok(file, node):
            return False
        if isinstance(node, (cst.For, cst.While, cst.If)):
            return False
    return True


def _index_ok(file: SourceFile, node: cst.Subscript) -> bool:
    """`x[..., k]`, `x[..., a:b]`, `x[..., None]`."""
    elements = [e.slice for e in node.slice]
    first = elements[0]
    if isinstance(first, cst.Index) and isinstance(first.value, (cst.Integer, cst.UnaryOperation)):
        return _shape(node.value) and _minus_one(first.value)
    if isinstance(file.kind(node.value), tuple):
        return True  # one of several results
    leading = isinstance(first, cst.Index) and isinstance(first.value, cst.Ellipsis)
    return leading and len(elements) == 2 and not any(is_tensor(file.kind(n)) for n in _numbers(elements[1]))


def _numbers(index: cst.BaseSlice) -> list[cst.BaseExpression]:
    """The numbers that say what is taken along an axis."""
    if isinstance(index, cst.Slice):
        return [part for part in (index.lower, index.upper, index.step) if part is not None]
    return [cst.ensure_type(index, cst.Index).value]


def _shape(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"


def _minus_one(node: cst.CSTNode | None) -> bool:
    match node:
        case cst.UnaryOperation(operator=cst.Minus(), expression=cst.Integer(value="1")):
            return True
    return False
