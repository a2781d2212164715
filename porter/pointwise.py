"""Proof that a function treats every position of its leading axes alike, so that it may be called on all of them."""

from __future__ import annotations

import libcst as cst

from .project import SourceFile
from .syntax.calls import argument
from .syntax.kinds import is_tensor
from .syntax.walk import own_descendants
from .truths import is_tensor_truth, only_reports

_POINTWISE = frozenset(
    "exp log log1p expm1 sqrt rsqrt abs sigmoid tanh softplus relu gelu silu where clamp clamp_min clamp_max "
    "zeros_like ones_like full_like square sign neg sin cos pow logsigmoid leaky_relu clone detach float to add sub "
    "mul div reciprocal maximum minimum".split()
)
_LAST_AXIS = frozenset("softmax log_softmax cumsum cumprod sum mean prod logsumexp gather argmax flip max min".split())
_SHAPES = frozenset("size dim numel".split())


def is_pointwise(file: SourceFile, function: cst.FunctionDef, depth: int = 0) -> bool:
    """Whether `function` mixes no two positions of its tensors' leading axes and changes none of its arguments.

    Conservative: operations are known to be elementwise, or run along the last axis, or the answer is no. Conditions on
    tensor values that only raise or print do not count: they are checked on the host alone.
    """
    params = {p.name.value for p in (*function.params.params, *function.params.kwonly_params)}
    for node in own_descendants(function.body):
        if isinstance(node, cst.Call) and not _in_check(file, node) and not _call_ok(file, node, depth):
            return False
        if isinstance(node, cst.Subscript) and is_tensor(file.kind(node.value)) and not _index_ok(file, node):
            return False
        if isinstance(node, (cst.For, cst.While, cst.AugAssign)) and not _own(node, params):
            return False
        if isinstance(node, cst.AssignTarget) and not _own(node, params):
            return False
        if isinstance(node, cst.If) and is_tensor_truth(file, node.test) and not only_reports(node.body):
            return False
    return True


def _own(node: cst.CSTNode, params: set[str]) -> bool:
    """Whether an assignment changes something that the function made itself (or only rebinds a name)."""
    if isinstance(node, (cst.For, cst.While)):
        return False
    target = node.target if isinstance(node, (cst.AugAssign, cst.AssignTarget)) else node
    if isinstance(target, cst.Subscript):
        return isinstance(target.value, cst.Name) and target.value.value not in params
    return isinstance(target, cst.Name) and not (isinstance(node, cst.AugAssign) and target.value in params)


def _in_check(file: SourceFile, node: cst.CSTNode) -> bool:
    child = node
    for around in file.ancestors(node):
        if isinstance(around, cst.If) and child is around.test and only_reports(around.body):
            return True
        if isinstance(around, (cst.Raise, cst.Assert)):
            return True
        child = around
    return False


def _call_ok(file: SourceFile, node: cst.Call, depth: int) -> bool:
    target = file.resolve(node.func)
    definition = file.project.function(target)
    if definition is not None:
        return depth < 3 and _callee_ok(definition[0], definition[1], depth)
    if target is not None and not target.startswith("torch."):
        return target.startswith(("numpy.", "math."))
    name = node.func.attr.value if isinstance(node.func, cst.Attribute) else getattr(node.func, "value", "")
    if name in _POINTWISE or name in _SHAPES or name in ("len", "format", "ValueError", "RuntimeError"):
        return True
    if name in _LAST_AXIS:
        method = target is None
        axis = argument(node, "dim", 0 if method else 1) or argument(node, "axis")
        return axis is not None and _minus_one(axis)
    if name == "pad":
        widths = argument(node, "pad", 1)
        return isinstance(widths, (cst.Tuple, cst.List)) and len(widths.elements) == 2
    return False


def _callee_ok(file: SourceFile, function: cst.FunctionDef, depth: int) -> bool:
    """A helper of the package; it may write along the last axis of its argument, which is a local of ours."""
    return is_pointwise(file, function, depth + 1) or _only_last_axis_writes(file, function, depth + 1)


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
        return not is_tensor(file.kind(node.value)) or _shape(node.value)
    leading = isinstance(first, cst.Index) and isinstance(first.value, cst.Ellipsis)
    return leading and len(elements) == 2 and not any(is_tensor(file.kind(n)) for n in own_descendants(elements[1]))


def _shape(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Attribute) and node.attr.value == "shape"


def _minus_one(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.UnaryOperation)
        and isinstance(node.operator, cst.Minus)
        and isinstance(node.expression, cst.Integer)
        and node.expression.value == "1"
    )
