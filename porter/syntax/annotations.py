"""What an annotation says of a value: tensor, boolean mask, sequence of tensors, or plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import libcst as cst

from . import torch_names as tn
from .values import Kind, Record, Value, is_tensor
from .walk import dotted, spelled

_PLAIN = frozenset(
    "int float bool str bytes complex None ndarray NDArray Path PathLike dtype device Size Namespace Literal Callable "
    "Generator Logger".split()
)
_SEVERAL = frozenset("list List Sequence Iterable Iterator Collection deque set Set".split())
_BY_KEY = frozenset("dict Dict Mapping MutableMapping OrderedDict defaultdict".split())
_SHAPED = frozenset("Float Float16 Float32 Float64 Int Int32 Int64 UInt8 Num Real Shaped Inexact Integer".split())


def annotated(note: cst.BaseExpression | None) -> Value:
    """The kind that an annotation names; UNKNOWN where it names something else, or nothing.

    Text is read as the annotation it holds; `Optional[...]` is what is inside, since nobody computes with None.
    """
    if isinstance(note, cst.SimpleString):
        text = note.evaluated_value
        return _from_text(text) if isinstance(text, str) else Kind.UNKNOWN
    if isinstance(note, cst.BinaryOperation) and isinstance(note.operator, cst.BitOr):
        return _one_of([annotated(part) for part in (note.left, note.right) if dotted(part) != "None"])
    if isinstance(note, cst.Subscript):
        return _subscripted(note)
    name = spelled(note).rsplit(".", 1)[-1] if note is not None else ""
    if name == "BoolTensor":
        return Kind.MASK
    if name in tn.TENSOR_TYPES:
        return Kind.TENSOR
    return Kind.HOST if name in _PLAIN else Kind.UNKNOWN


@cache
def _from_text(text: str) -> Value:
    try:
        return annotated(cst.parse_expression(text))
    except cst.ParserSyntaxError:
        return Kind.UNKNOWN


def _subscripted(note: cst.Subscript) -> Value:
    name = spelled(note.value).rsplit(".", 1)[-1]
    inside = [e.slice.value for e in note.slice if isinstance(e.slice, cst.Index)]
    if not inside:
        return Kind.UNKNOWN
    match name:
        case "Optional" | "Union":
            return _one_of([annotated(part) for part in inside if dotted(part) != "None"])
        case "Annotated" | "Final" | "ClassVar":
            return annotated(inside[0])
        case "float" | "int" | "bool" if isinstance(inside[0], cst.SimpleString):  # a shape, for readers
            return _tensor_of(name)
        case "tuple" | "Tuple":
            return _tuple(inside)
    if name in ("Bool", "Float", "Int") or name in _SHAPED:  # jaxtyping
        return _tensor_of(name) if is_tensor(annotated(inside[0])) else Kind.UNKNOWN
    if name in _BY_KEY:
        return Record(others=annotated(inside[-1]))
    return _several(annotated(inside[-1])) if name in _SEVERAL else Kind.HOST if name in _PLAIN else Kind.UNKNOWN


def _tensor_of(name: str) -> Kind:
    """The kind of a tensor whose elements have a type of this name."""
    return Kind.MASK if name in ("Bool", "bool") else Kind.TENSOR


def _tuple(inside: Sequence[cst.BaseExpression]) -> Value:
    """`tuple[A, B]`, or `tuple[A, ...]`."""
    parts = tuple(annotated(part) for part in inside if not isinstance(part, cst.Ellipsis))
    if len(parts) == len(inside):
        return parts
    return _several(parts[0]) if parts else Kind.UNKNOWN


def _one_of(parts: list[Value]) -> Value:
    if parts and all(part == parts[0] for part in parts):
        return parts[0]
    if any(is_tensor(part) for part in parts):
        return Kind.TENSOR if all(is_tensor(part) for part in parts) else Kind.MAYBE
    return Kind.UNKNOWN


def _several(item: Value) -> Value:
    if is_tensor(item) or item is Kind.SEQUENCE:
        return Kind.SEQUENCE
    return Kind.HOST if item is Kind.HOST else Kind.UNKNOWN
