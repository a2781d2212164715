"""Tensors that are made on the host, computed with and read there, all in one expression."""

from __future__ import annotations

import libcst as cst

from ...analysis.arguments import lacks
from ...analysis.project import SourceFile
from ...syntax.predicates import called, own_name
from ...syntax.torch_names import PLAIN_FACTORIES, TYPE_FACTORIES
from ...syntax.values import Kind, may_be_tensor
from ...syntax.walk import dotted

_READS = ("tolist", "item", "numpy", "__len__")
_BUILTINS = ("int", "float", "bool", "list", "tuple", "len")
_MOVES = ("to", "cuda", "type_as", "xpu", "mps", "copy_")


def in_passing(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why neither the making nor the reading of a tensor meets the device: `torch.tensor(sizes).flip(0).tolist()`."""
    if not isinstance(node, cst.Call):
        return None
    made = _maker(file, node)
    return "its tensor is made on the host and read there" if made is not None and _is_read(file, made) else None


def _maker(file: SourceFile, node: cst.Call) -> cst.Call | None:
    """The call of a factory at the root of a chain of methods."""
    current: cst.BaseExpression = node
    while isinstance(current, cst.Call):
        if _makes(file, current):
            return current
        if isinstance(current.func, cst.Attribute):
            current = current.func.value
        elif dotted(current.func) in _BUILTINS and len(current.args) == 1:
            current = current.args[0].value
        else:
            return None
    return None


def _makes(file: SourceFile, call: cst.Call) -> bool:
    """Whether a factory makes a tensor of Python values on the host."""
    target = file.resolve(call.func)
    if target == "torch.from_numpy":
        return True
    if target not in PLAIN_FACTORIES | TYPE_FACTORIES or not lacks(file, call, "device", "out"):
        return False
    return not any(_holds_tensor(file, arg.value) for arg in call.args)


def _holds_tensor(file: SourceFile, value: cst.BaseExpression) -> bool:
    if isinstance(value, (cst.List, cst.Tuple)):
        return any(_holds_tensor(file, element.value) for element in value.elements)
    kind = file.kind(value)
    return kind is not Kind.UNKNOWN and may_be_tensor(kind)


def _is_read(file: SourceFile, made: cst.Call) -> bool:
    """Whether methods that take no tensors lead from a tensor to a read of its values."""
    current = made
    while (method := file.method_of(current)) is not None:
        name = own_name(method.func)
        if name in _READS:
            return True
        if name in _MOVES or any(may_be_tensor(file.kind(arg.value)) for arg in method.args):
            return False
        current = method
    call = file.call_with(current)
    return call is not None and called(call) in _BUILTINS and len(call.args) == 1
