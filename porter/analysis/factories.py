"""Calls that make tensors, and where what they make goes."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from ..syntax.calls import keywords, method_call, positional, with_keywords
from ..syntax.template import fill
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import dotted, own_names, own_of_type
from ..torch_facts.signatures import signatures
from .arguments import bind, lacks, placed
from .numeric import is_number, is_shape, is_whole
from .project import SourceFile

COPIES = frozenset({"torch.tensor", "torch.as_tensor", "torch.scalar_tensor"})  # they copy Python's values
_DRAWS = {"normal_": "randn", "uniform_": "rand"}
# What these hold is zero or one: the same on every device.
_PLAIN = frozenset({"torch.zeros", "torch.ones", "torch.empty", "torch.eye"})
_NO_SIZES = (
    "fill_value data dtype device layout out names generator requires_grad pin_memory memory_format periodic alpha "
    "beta sym std mean base s"
).split()  # parameters of factories that say nothing of shapes

MOVES = ("to", "type_as")  # what `read_move` reads


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
    """The device and dtype that a call of `.to(...)` or `.type_as(...)` asks for; None when that cannot be told."""
    assert isinstance(call.func, cst.Attribute)
    if call.func.attr.value == "type_as":
        like = (bind(file, call, "other") or {}).get("other")
        if like is None or dotted(like) is None:
            return None  # it would be evaluated twice
        return Move(fill("__t.device", t=like), fill("__t.dtype", t=like))
    named, first = keywords(call), positional(call)[:1]
    leads = "device"
    if "other" in named or (first and is_tensor(file.kind(first[0]))):
        leads = "other"
    elif first and is_dtype(file, first[0]):
        leads = "dtype"
    ways = [s for s in signatures("torch.Tensor.to") if s.parameters[0].name == leads]
    given = placed(ways[0], call) if ways else None
    if given is None or "memory_format" in given:
        return None
    if "other" in given:
        other = given["other"]
        return Move(fill("__t.device", t=other), fill("__t.dtype", t=other)) if is_tensor(file.kind(other)) else None
    device, dtype = given.get("device"), given.get("dtype")
    if device in first and device is not None and not is_device(file, device):
        return None
    if dtype is not None and "dtype" not in named and not is_dtype(file, dtype):
        return None
    return Move(device, dtype)


def is_device(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a device: `x.device`, a name that says so, a call that gives one."""
    name = dotted(node)
    if name is not None:
        return "device" in name.rsplit(".", 1)[-1].lower() or name.rsplit(".", 1)[-1] in ("dev", "cuda")
    if isinstance(node, cst.Attribute):
        return node.attr.value == "device"  # of an item of a list, say
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


def sizes(file: SourceFile, call: cst.Call) -> list[cst.BaseExpression]:
    """What a factory is given that decides the shape of what it makes; with stars, all that is given by place."""
    given = bind(file, call, *_NO_SIZES)
    if given is None:
        return positional(call)
    return [arg.value for arg in call.args if all(arg.value is not other for other in given.values())]


def moved_factory(file: SourceFile, node: cst.Call, factories: Collection[str]) -> Moved | None:
    """The parts of `factory(...).to(device...)`, or of `factory(...).type_as(...)`."""
    found = method_call(node, *MOVES)
    if found is None or not isinstance(found[0], cst.Call):
        return None
    factory = found[0]
    if file.resolve(factory.func) not in factories or not lacks(file, factory, "device", "out"):
        return None
    move = read_move(file, node)
    if move is None or move.device is None:
        return None
    if move.dtype is not None and not lacks(file, factory, "dtype"):
        return None
    if not _takes_device(file, factory):
        return None
    merges = move.dtype is None or _same_in_dtype(file, factory, move.dtype)
    return Moved(factory, move.device, move.dtype, merges)


def _takes_device(file: SourceFile, factory: cst.Call) -> bool:
    """`torch.normal` of tensors draws where they are."""
    return file.resolve(factory.func) != "torch.normal" or "size" in (bind(file, factory, "size") or {})


# Every Python int that is a size fits into these; others wrap around, or raise where they are filled.
_WIDE = frozenset(f"torch.{n}" for n in "float float32 float64 double int int32 int64 long bool".split())
_SMALL = 128  # below this an int fits into any dtype


def _same_in_dtype(file: SourceFile, factory: cst.Call, dtype: cst.BaseExpression) -> bool:
    """Whether a factory gives in a dtype what it gives by default, converted; draws and fractions do not."""
    name = file.resolve(factory.func)
    if name == "torch.full":
        value = (bind(file, factory, "fill_value") or {}).get("fill_value")
        values = [] if value is None else [value]
    elif name in COPIES:
        values = _copied(factory)
    else:
        whole = _steps(file, factory) if name == "torch.arange" else []
        return name in _PLAIN or (bool(whole) and all(whole))
    wide = file.resolve(dtype) in _WIDE
    return bool(values) and all(_is_small(v) or (wide and is_whole(file, v)) or _fits_float32(v) for v in values)


def _is_small(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Integer) and node.evaluated_value < _SMALL


def _copied(factory: cst.Call) -> list[cst.BaseExpression]:
    """The values of `torch.tensor(value)` and `torch.tensor([value, ...])`; none where they are not given by place."""
    first = positional(factory)[:1]
    if first and isinstance(first[0], (cst.List, cst.Tuple)):
        return [element.value for element in first[0].elements]
    return first


def _fits_float32(node: cst.BaseExpression) -> bool:
    """Whether a literal is a number that float32 holds, so that no conversion on the way changes it."""
    inner = node.expression if isinstance(node, cst.UnaryOperation) else node
    if not isinstance(inner, cst.Float):
        return False
    value = float(inner.evaluated_value)
    return abs(value) < 1e38 and struct.unpack("f", struct.pack("f", value))[0] == value


def _steps(file: SourceFile, factory: cst.Call) -> list[bool]:
    """For each bound and the step of `torch.arange`: whether it is a Python int; none where that cannot be told."""
    given = bind(file, factory, "start", "end", "step") or {}
    return [is_whole(file, value) for value in given.values()]


def same_on_device(file: SourceFile, factory: cst.Call) -> bool:
    """Whether a factory is known to make the same tensor on every device.

    `torch.linspace`, windows and steps of fractions are computed in floating point. Devices differ there in the last
    digit, and in how many elements that makes: XLA gives seven for `torch.arange(0, 1, 1 / 6)`. For the indices of a
    triangle it has no operator.
    """
    name = file.resolve(factory.func)
    if name == "torch.arange":
        whole = _steps(file, factory)
        return len(whole) == 1 or (bool(whole) and all(whole))
    return name in _PLAIN or name == "torch.full"


def computed_on_host(factory: cst.Call, function: cst.BaseExpression) -> cst.Call:
    """`function(factory, ...)` with the arguments of `factory(...)`."""
    first = cst.Arg(factory.func, comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
    return factory.with_changes(func=function, args=[first, *factory.args] if factory.args else [cst.Arg(factory.func)])


def drawn_in_place(file: SourceFile, node: cst.Call) -> Moved | None:
    """`torch.FloatTensor(...).normal_()` and its kin, moved at once: the parts of the draw that means the same."""
    found = method_call(node, *MOVES)
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


def drawn_within(file: SourceFile, node: cst.Call) -> cst.Call | None:
    """The same draw on the device, of `torch.Tensor(...).uniform_(a, b)` and its kin that are moved at once."""
    found = method_call(node, *MOVES)
    draw = method_call(found[0], *_DRAWS) if found is not None else None
    if draw is None or not isinstance(draw[0], cst.Call) or not draw[1].args:
        return None
    move, torch = read_move(file, node), file.alias("torch")
    if move is None or move.device is None or move.dtype is not None or torch is None:
        return None
    made = draw[0]
    if file.resolve(made.func) not in ("torch.FloatTensor", "torch.Tensor", "torch.empty") or not _are_sizes(
        file, made
    ):
        return None
    if not all(is_number(file, arg.value) and not arg.star for arg in draw[1].args):
        return None
    empty = with_keywords(made.with_changes(func=fill(f"{torch}.empty")), device=move.device)
    assert isinstance(draw[1].func, cst.Attribute)
    return draw[1].with_changes(func=draw[1].func.with_changes(value=empty))


def _are_sizes(file: SourceFile, call: cst.Call) -> bool:
    """Whether a legacy constructor is given sizes; a list would be taken for values."""
    given = positional(call)
    return len(given) == len(call.args) and all(is_number(file, g) or is_shape(g) for g in given)


def place_factory(moved: Moved, function: cst.BaseExpression | None = None) -> cst.Call:
    """The factory call with the device, and the dtype if one was asked for, as arguments; converted afterwards where
    the dtype would change the values. With a `function`, that is given the factory and the arguments.
    """
    extra = {"device": moved.device}
    if moved.dtype is not None and moved.merges:
        extra["dtype"] = moved.dtype
    made = with_keywords(moved.factory, **extra)
    made = made if function is None else computed_on_host(made, function)
    if moved.dtype is None or moved.merges:
        return made
    converted = fill("__made.to(dtype=__dtype)", made=made, dtype=moved.dtype)
    assert isinstance(converted, cst.Call)
    return converted


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
        dotted(n.left) == name and any(isinstance(c.operator, (cst.Is, cst.IsNot)) for c in n.comparisons)
        for n in own_of_type(function.body, cst.Comparison)
    )


@lru_cache(maxsize=4096)
def _stays_tensor(file: SourceFile, function: cst.FunctionDef, name: str) -> bool:
    used = False
    for node in own_names(function.body).get(name, ()):
        kind = file.kind(node)
        if kind is Kind.HOST or kind is Kind.SEQUENCE or isinstance(kind, tuple):
            return False
        used = used or is_tensor(kind)
    return used
