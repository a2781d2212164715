"""Calls that make tensors, and where what they make goes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import libcst as cst

from .numeric import is_number, is_shape
from .project import SourceFile
from .syntax.calls import argument, has_star, keywords, method_call, positional, with_keywords
from .syntax.template import fill
from .syntax.values import Kind, is_tensor
from .syntax.walk import dotted, own_descendants

_DRAWS = {"normal_": "randn", "uniform_": "rand"}
_CONSTANT = frozenset(f"torch.{n}" for n in "zeros ones full empty eye tril_indices triu_indices".split())


@dataclass(frozen=True, slots=True)
class Moved:
    """A factory call whose result goes to a device (and maybe another dtype) at once."""

    factory: cst.Call
    device: cst.BaseExpression
    dtype: cst.BaseExpression | None
    merges: bool = True  # whether the factory may make the dtype itself


@dataclass(frozen=True, slots=True)
class Move:
    """What a `.to(...)`, `.cuda()` or `.type_as(...)` asks for."""

    device: cst.BaseExpression | None
    dtype: cst.BaseExpression | None


def read_move(file: SourceFile, call: cst.Call) -> Move | None:
    """The device and dtype that a `.to(...)` call asks for; None when that cannot be told."""
    assert isinstance(call.func, cst.Attribute)
    named = keywords(call)
    if has_star(call) or set(named) - {"device", "dtype", "non_blocking", "copy"}:
        return None
    device, dtype = named.get("device"), named.get("dtype")
    for value in positional(call):
        if is_device(file, value):
            device = value
        elif is_dtype(file, value):
            dtype = value
        elif is_tensor(file.kind(value)):
            device = fill("__t.device", t=value)
            dtype = fill("__t.dtype", t=value)
        else:
            return None
    return Move(device, dtype)


def is_device(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a device: `x.device`, a name that says so, a call that gives one."""
    name = dotted(node)
    if name is not None:
        return "device" in name.rsplit(".", 1)[-1].lower() or name.rsplit(".", 1)[-1] in ("dev", "cuda")
    if isinstance(node, cst.Call):
        return (dotted(node.func) or "").rsplit(".", 1)[-1] in ("device", "get_xla_device", "default_device")
    if isinstance(node, cst.IfExp):
        return is_device(file, node.body) and is_device(file, node.orelse)
    return isinstance(node, cst.SimpleString) and str(node.evaluated_value).split(":")[0] in ("cuda", "cpu")


def is_dtype(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a dtype: `x.dtype`, `torch.long`, a name that says so."""
    name = file.resolve(node) or dotted(node)
    if name is None:
        return False
    last = name.rsplit(".", 1)[-1]
    return "dtype" in last.lower() or (
        name.startswith("torch.") and last in ("float", "long", "int", "half", "bool", "float32", "float16", "bfloat16",
                                               "float64", "double", "int32", "int64", "uint8", "int8")
    )  # fmt: skip


def moved_factory(file: SourceFile, node: cst.Call, factories: Collection[str]) -> Moved | None:
    """The parts of `factory(...).to(device...)`."""
    found = method_call(node, "to")
    if found is None or not isinstance(found[0], cst.Call):
        return None
    factory = found[0]
    if file.resolve(factory.func) not in factories or argument(factory, "device") is not None or has_star(factory):
        return None
    move = read_move(file, node)
    if move is None or move.device is None:
        return None
    if argument(factory, "dtype") is not None and move.dtype is not None:
        return None
    if argument(factory, "out") is not None or not _takes_device(file, factory):
        return None
    return Moved(factory, move.device, move.dtype, move.dtype is None or _same_in_any_dtype(file, factory))


def _takes_device(file: SourceFile, factory: cst.Call) -> bool:
    """`torch.normal` of tensors draws where they are."""
    return file.resolve(factory.func) != "torch.normal" or argument(factory, "size", 2) is not None


def _same_in_any_dtype(file: SourceFile, factory: cst.Call) -> bool:
    """Whether a factory gives in any dtype what it gives by default, converted; draws and steps do not."""
    name = file.resolve(factory.func)
    whole = all(_is_whole(file, v) for v in positional(factory)) and len(positional(factory)) == len(factory.args)
    return name in _CONSTANT or (name == "torch.arange" and whole)


def _is_whole(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a whole number: an integer or a size."""
    if isinstance(node, cst.Integer):
        return True
    return isinstance(node, (cst.Call, cst.Subscript)) and is_number(file, node) and dotted(_base(node)) is not None


def _base(node: cst.Call | cst.Subscript) -> cst.BaseExpression:
    return node.func if isinstance(node, cst.Call) else node.value


def drawn_in_place(file: SourceFile, node: cst.Call) -> Moved | None:
    """`torch.FloatTensor(...).normal_()` and its kin, moved at once: the parts of the draw that means the same."""
    found = method_call(node, "to")
    if found is None:
        return None
    draw = method_call(found[0], *_DRAWS)
    if draw is None or not isinstance(draw[0], cst.Call) or draw[1].args:
        return None
    if file.resolve(draw[0].func) not in ("torch.FloatTensor", "torch.Tensor", "torch.empty"):
        return None
    move, torch = read_move(file, node), file.alias("torch")
    if move is None or move.device is None or torch is None or not _are_sizes(file, draw[0]):
        return None
    assert isinstance(draw[1].func, cst.Attribute)
    same = fill(f"{torch}.{_DRAWS[draw[1].func.attr.value]}")
    return Moved(draw[0].with_changes(func=same), move.device, move.dtype, move.dtype is None)


def _are_sizes(file: SourceFile, call: cst.Call) -> bool:
    """Whether a legacy constructor is given sizes; a list would be taken for values."""
    given = positional(call)
    return len(given) == len(call.args) and all(is_number(file, g) or is_shape(g) for g in given)


def place_factory(moved: Moved) -> cst.Call:
    """The factory call with the device, and the dtype if one was asked for, as arguments; converted afterwards where
    the dtype would change the values.
    """
    extra = {"device": moved.device}
    if moved.dtype is not None and not moved.merges:
        converted = fill("__made.to(dtype=__dtype)", made=with_keywords(moved.factory, **extra), dtype=moved.dtype)
        assert isinstance(converted, cst.Call)
        return converted
    if moved.dtype is not None:
        extra["dtype"] = moved.dtype
    return with_keywords(moved.factory, **extra)


def input_device(file: SourceFile, node: cst.CSTNode) -> cst.BaseExpression | None:
    """`x.device` for the first tensor parameter of the function around `node`, if it has one that is never rebound
    to something else before use: the device that the function works on.
    """
    function = file.function(node)
    while function is not None:
        for param in (*function.params.posonly_params, *function.params.params):
            if param.default is None and param.name.value != "self" and _stays_tensor(file, function, param.name.value):
                if _may_be_none(function, param.name.value):
                    continue
                return fill(f"{param.name.value}.device")
        function = file.function(function)
    return None


def _may_be_none(function: cst.FunctionDef, name: str) -> bool:
    """Whether a function asks of a parameter if it is None."""
    return any(
        isinstance(n, cst.Comparison)
        and dotted(n.left) == name
        and any(isinstance(c.operator, (cst.Is, cst.IsNot)) for c in n.comparisons)
        for n in own_descendants(function.body)
    )


def _stays_tensor(file: SourceFile, function: cst.FunctionDef, name: str) -> bool:
    used = False
    for node in own_descendants(function.body):
        if isinstance(node, cst.Name) and node.value == name:
            kind = file.kind(node)
            if kind is Kind.HOST or kind is Kind.SEQUENCE or isinstance(kind, tuple):
                return False
            used = used or is_tensor(kind)
    return used
