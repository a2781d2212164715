"""Calls that make tensors, and where what they make goes."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from ..syntax.calls import keywords, method_call, positional, with_keywords
from ..syntax.predicates import positional_parameters
from ..syntax.template import fill
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import dotted, own_names, own_of_type, spelled
from ..torch_facts.signatures import signatures
from .arguments import argument_for, bind, lacks, placed
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
    if method_call(call, "type_as"):
        like = argument_for(file, call, "other")
        return None if like is None or dotted(like) is None else _as(like)  # another would be evaluated twice
    given = _moves_to(file, call)
    if given is None or "memory_format" in given:
        return None
    if "other" in given:
        return _as(given["other"]) if is_tensor(file.kind(given["other"])) else None
    by_place = given.keys() - keywords(call).keys()
    proven = all(_PROOFS[name](file, given[name]) for name in by_place & _PROOFS.keys())
    return Move(given.get("device"), given.get("dtype")) if proven else None


def _as(tensor: cst.BaseExpression) -> Move:
    """A move to the device and dtype of a tensor."""
    return Move(fill("__t.device", t=tensor), fill("__t.dtype", t=tensor))


def _moves_to(file: SourceFile, call: cst.Call) -> Mapping[str, cst.BaseExpression] | None:
    """The arguments of a call of `.to(...)`, by the one of its signatures that its first argument shows."""
    first = next(iter(positional(call)), None)
    leads = "device"
    if "other" in keywords(call) or (first is not None and is_tensor(file.kind(first))):
        leads = "other"
    elif first is not None and is_dtype(file, first):
        leads = "dtype"
    ways = [s for s in signatures("torch.Tensor.to") if s.parameters[0].name == leads]
    return placed(ways[0], call) if ways else None


def is_device(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression is a device: `x.device`, a name that says so, a call that gives one."""
    name = dotted(node)
    if name is not None:
        return "device" in name.rsplit(".", 1)[-1].lower() or name.rsplit(".", 1)[-1] in ("dev", "cuda")
    if isinstance(node, cst.Attribute):
        return node.attr.value == "device"  # of an item of a list, say
    if isinstance(node, cst.Call):
        return spelled(node.func).rsplit(".", 1)[-1] in ("device", "get_xla_device", "default_device")
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


_PROOFS = {"device": is_device, "dtype": is_dtype}


def sizes(file: SourceFile, call: cst.Call) -> list[cst.BaseExpression]:
    """What a factory is given that decides the shape of what it makes; with stars, all that is given by place."""
    given = bind(file, call, *_NO_SIZES)
    if given is None:
        return positional(call)
    return [arg.value for arg in call.args if all(arg.value is not other for other in given.values())]


def moved_factory(file: SourceFile, node: cst.Call, factories: Collection[str]) -> Moved | None:
    """The parts of `factory(...).to(device...)`, or of `factory(...).type_as(...)`."""
    found = method_call(node, *MOVES)
    factory = found[0] if found is not None else None
    if not isinstance(factory, cst.Call) or file.resolve(factory.func) not in factories:
        return None
    move = read_move(file, node) if _takes_device(file, factory) else None
    if move is None or move.device is None:
        return None
    if move.dtype is not None and not lacks(file, factory, "dtype"):
        return None
    merges = move.dtype is None or _same_in_dtype(file, factory, move.dtype)
    return Moved(factory, move.device, move.dtype, merges)


def _takes_device(file: SourceFile, factory: cst.Call) -> bool:
    """Whether a factory may be told a device. `torch.normal` of tensors draws where they are."""
    drawn_beside = file.resolve(factory.func) == "torch.normal" and not bind(file, factory, "size")
    return not drawn_beside and lacks(file, factory, "device", "out")


# Every Python int that is a size fits into these; others wrap around, or raise where they are filled.
_WIDE = frozenset(f"torch.{n}" for n in "float float32 float64 double int int32 int64 long bool".split())
_SMALL = 128  # below this an int fits into any dtype


def _same_in_dtype(file: SourceFile, factory: cst.Call, dtype: cst.BaseExpression) -> bool:
    """Whether a factory gives in a dtype what it gives by default, converted; draws and fractions do not."""
    name = file.full_name(factory.func)
    if name == "torch.full" or name in COPIES:
        given = (bind(file, factory, "fill_value") or {}).values() if name == "torch.full" else _copied(factory)
        wide = file.resolve(dtype) in _WIDE
        return bool(given) and all(_survives(file, value, wide) for value in given)
    whole = _steps(file, factory) if name == "torch.arange" else []
    return name in _PLAIN or (bool(whole) and all(whole))


def _survives(file: SourceFile, value: cst.BaseExpression, wide: bool) -> bool:
    """Whether a number is the same in a dtype, which is `wide` or not, as it is by default, converted to it."""
    small = isinstance(value, cst.Integer) and value.evaluated_value < _SMALL
    return small or (wide and is_whole(file, value)) or _fits_float32(value)


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
    drawn = _drawn(file, node)
    if drawn is None or drawn.arguments or drawn.move.device is None:
        return None
    same = fill(f"{drawn.torch}.{_DRAWS[drawn.method.attr.value]}")
    return Moved(drawn.made.with_changes(func=same), drawn.move.device, drawn.move.dtype, drawn.move.dtype is None)


def drawn_within(file: SourceFile, node: cst.Call) -> cst.Call | None:
    """The same draw on the device, of `torch.Tensor(...).uniform_(a, b)` and its kin that are moved at once."""
    drawn = _drawn(file, node)
    if drawn is None or not drawn.arguments or drawn.move.device is None or drawn.move.dtype is not None:
        return None
    if not all(is_number(file, arg.value) and not arg.star for arg in drawn.arguments):
        return None
    empty = with_keywords(drawn.made.with_changes(func=fill(f"{drawn.torch}.empty")), device=drawn.move.device)
    return drawn.draw.with_changes(func=drawn.method.with_changes(value=empty))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """`torch.Tensor(...).uniform_(...).to(...)`."""

    made: cst.Call
    draw: cst.Call
    method: cst.Attribute
    move: Move
    torch: str  # as the file calls it

    @property
    def arguments(self) -> Sequence[cst.Arg]:
        """What the draw is told."""
        return self.draw.args


def _drawn(file: SourceFile, node: cst.Call) -> _Drawn | None:
    """The parts of a draw into a new tensor that is moved at once."""
    found = method_call(node, *MOVES)
    draw = method_call(found[0], *_DRAWS) if found is not None else None
    made = draw[0] if draw is not None else None
    if draw is None or not isinstance(made, cst.Call) or file.resolve(made.func) not in _UNFILLED:
        return None
    move, torch = read_move(file, node), file.alias("torch")
    if move is None or torch is None or not _are_sizes(file, made):
        return None
    return _Drawn(made, draw[1], cst.ensure_type(draw[1].func, cst.Attribute), move, torch)


_UNFILLED = ("torch.FloatTensor", "torch.Tensor", "torch.empty")


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
        for param in positional_parameters(function):
            name = param.name.value
            stays = param.default is None and name != "self" and _stays_tensor(file, function, name)
            if stays and not _may_be_none(function, name):
                return fill(f"{name}.device")
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
