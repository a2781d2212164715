"""Shapes that follow the data: sizes given by tensors, boolean masks as indices, results as many as the data says."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.project import SourceFile
from ...syntax import torch_names as tn
from ...syntax.calls import argument, positional
from ...syntax.predicates import last_part, only_index
from ...syntax.values import Kind, is_tensor, may_be_tensor
from ...syntax.walk import brief, dotted, own_descendants, own_of_type, same, spelled
from . import known
from .asking import DOUBT, Found, on_host, tensors_of, told
from .numbers import numbers_given


def results(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Functions and methods whose results are as many as the data says."""
    assert isinstance(node, cst.Call)
    target = file.resolve(node.func)
    if target is not None:
        yield from _function(file, node, target)
    elif isinstance(node.func, cst.Attribute):
        yield from _method(file, node, node.func)


def _function(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    if target in known.DYNAMIC:
        yield "SHP", node, f"{target}: {known.DYNAMIC[target]}"
    elif target == "torch.where" and len(node.args) == 1:
        yield "SHP", node, "torch.where with one argument: the number of results follows the data"
    elif target == "torch.repeat_interleave":
        yield from _tensor_count(file, node, "repeats", 1)
    elif target == "torch.nn.functional.one_hot":
        yield from _classes(node)
    elif target.startswith("torch.") and last_part(target) in known.SIZED_BY_TENSOR:
        name, place = known.SIZED_BY_TENSOR[last_part(target)]
        yield from _read_size(file, node, argument(node, name, place + 1))


def _method(file: SourceFile, node: cst.Call, func: cst.Attribute) -> Iterator[Found]:
    name = func.attr.value
    if name in known.DYNAMIC_METHODS:
        yield from told(file, "SHP", node, func.value, f"{name}(): the number of results follows the data")
    if not may_be_tensor(file.kind(func.value)):
        return
    if name == "repeat_interleave":
        yield from _tensor_count(file, node, "repeats", 0)
    elif name in known.SIZED_BY_TENSOR:
        parameter, place = known.SIZED_BY_TENSOR[name]
        yield from _read_size(file, node, argument(node, parameter, place))


def _tensor_count(file: SourceFile, node: cst.Call, name: str, place: int) -> Iterator[Found]:
    count = argument(node, name, place)
    if count is not None:
        yield from told(file, "SHP", node, count, "repeat_interleave by a tensor: the length follows the data")


def _read_size(file: SourceFile, node: cst.Call, size: cst.BaseExpression | None) -> Iterator[Found]:
    if size is not None:
        yield from told(file, "SHP", node, size, f"{brief(size)} is read on the host, and decides the shape")


def _classes(node: cst.Call) -> Iterator[Found]:
    classes = argument(node, "num_classes", 1)
    if classes is None or brief(classes) == "-1":
        yield "SHP", node, "one_hot without the number of classes asks for the largest, and has as many columns"


def numbers(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Arguments that have to be Python numbers, and are tensors: `F.pad(x, (0, n))`, `x.expand(n, -1)`, `x.roll(n)`."""
    assert isinstance(node, cst.Call)
    target = file.resolve(node.func) or _tensor_method(file, node.func)
    if not target.startswith("torch.") or target in tn.FACTORIES:
        return
    for number, value in numbers_given(node, target):
        tensor = next(iter(tensors_of(file, value)), None)
        if tensor is not None:
            shown = f"{number.name} of {target.removeprefix('torch.').removeprefix('Tensor.')}"
            what = f"{shown} is a number: the value of {brief(tensor, 40)} is read and becomes part of the graph"
            yield from told(file, "SHP" if number.whole else "SYN", node, tensor, what)


def _tensor_method(file: SourceFile, func: cst.BaseExpression) -> str:
    """The full name of a method that is a tensor's, as far as is known."""
    if not isinstance(func, cst.Attribute):
        return ""
    is_tensors = may_be_tensor(file.kind(func.value)) or func.attr.value in tn.TENSOR_ONLY_METHODS
    return f"torch.Tensor.{func.attr.value}" if is_tensors else ""


def factory_sizes(file: SourceFile, node: cst.Call, target: str) -> Iterator[Found]:
    """Sizes of a new tensor, and bounds of a range, that are values of tensors."""
    if target in ("torch.tensor", "torch.as_tensor", "torch.normal") or target in tn.TYPE_FACTORIES:
        return
    keywords = [
        a.value for a in node.args if a.keyword is not None and a.keyword.value in ("size", "start", "end", "n")
    ]
    for value in (*positional(node), *keywords):
        for tensor in tensors_of(file, value):
            yield from told(file, "SHP", node, tensor, f"the size {brief(tensor)} is a tensor's value")
            return


def subscripts(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Indexing by masks, and slicing by tensors."""
    assert isinstance(node, cst.Subscript)
    for part in node.slice:
        index = part.slice
        if isinstance(index, cst.Index):
            yield from _mask(file, node, index.value)
        elif isinstance(index, cst.Slice):
            for bound in (index.lower, index.upper, index.step):
                if bound is not None:
                    yield from _bound(file, node, bound)


def _mask(file: SourceFile, node: cst.Subscript, index: cst.BaseExpression) -> Iterator[Found]:
    kind = file.kind(index)
    inverted = isinstance(index, cst.UnaryOperation) and isinstance(index.operator, cst.BitInvert)
    compared = kind is not Kind.HOST and _compares(index, node.value)
    if kind is Kind.MASK or compared or (inverted and is_tensor(kind)):
        yield "SHP", node, _why(index)
    elif not on_host(file, node):
        yield from _doubtful_mask(file, node, index)


def _why(mask: cst.BaseExpression) -> str:
    return f"indexing by the mask {brief(mask)}: the number of results follows the data"


def _doubtful_mask(file: SourceFile, node: cst.Subscript, index: cst.BaseExpression) -> Iterator[Found]:
    """The same of what may be a mask: by its name, or as the result of a comparison."""
    kind = file.kind(index)
    if "mask" in spelled(index) and kind in (Kind.UNKNOWN, Kind.MAYBE, Kind.TENSOR):
        if may_be_tensor(file.kind(node.value)):
            what = f"{DOUBT} {brief(index)} is a boolean mask; if so, the number of results follows the data"
            yield "SHP", node, what
    elif kind is Kind.MAYBE and isinstance(index, (cst.Comparison, cst.UnaryOperation)):
        yield "SHP", node, f"{DOUBT} {brief(index, 40)} is a tensor; if so, {_why(index)}"


def _compares(index: cst.BaseExpression, indexed: cst.BaseExpression) -> bool:
    """`x[x > 0]`, whatever else is known of x."""
    if not isinstance(index, cst.Comparison) or not same(index.left, indexed):
        return False
    return not any(isinstance(c.operator, (cst.Is, cst.IsNot, cst.In, cst.NotIn)) for c in index.comparisons)


def _bound(file: SourceFile, node: cst.Subscript, bound: cst.BaseExpression) -> Iterator[Found]:
    why = f"slicing by {brief(bound)} reads its value and bakes it into the graph"
    if is_tensor(file.kind(bound)) or (file.kind(bound) is not Kind.HOST and _sample_bound(file, bound)):
        yield "SYN", node, why
    else:
        yield from told(file, "SYN", node, bound, why)


def _sample_bound(file: SourceFile, bound: cst.BaseExpression) -> bool:
    """`lengths[i]` with the variable of a loop, where `lengths` may well be a tensor."""
    for part in own_descendants(bound):
        if isinstance(part, cst.Name) and any(_sample_value(file, v) for v in _assigned_in_loop(file, part)):
            return True
        if _sample_value(file, part):
            return True
    return False


def _assigned_in_loop(file: SourceFile, name: cst.Name) -> Iterator[cst.BaseExpression]:
    """What the loops around a name assign to it, arithmetic taken apart."""
    for loop in file.ancestors(name):
        if isinstance(loop, (cst.For, cst.While)):
            for node in own_descendants(loop.body):
                if isinstance(node, cst.Assign) and any(dotted(t.target) == name.value for t in node.targets):
                    yield from (n for n in own_of_type(node.value, cst.Subscript))


def _sample_value(file: SourceFile, part: cst.CSTNode) -> bool:
    """`lengths[i]` with the variable of a loop (or comprehension) around it."""
    index = only_index(part)
    if not isinstance(part, cst.Subscript) or not isinstance(index, cst.Name):
        return False
    if file.kind(part.value) not in (Kind.UNKNOWN, Kind.TENSOR, Kind.MAYBE):
        return False
    return any(index.value in map(dotted, _counters(around)) for around in file.ancestors(part))


def _counters(around: cst.CSTNode) -> list[cst.BaseExpression]:
    """What a loop or a comprehension changes from turn to turn."""
    match around:
        case cst.For():
            return [around.target]
        case cst.While():
            return [n.target for n in own_of_type(around.body, cst.AugAssign)]
        case cst.ListComp() | cst.SetComp() | cst.DictComp() | cst.GeneratorExp():
            return [around.for_in.target]
    return []
