"""What an annotation says of a value: tensor, boolean mask, sequence of tensors, or plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import libcst as cst

from . import torch_names as tn
from .predicates import is_none, last_part
from .values import Kind, Record, Value, is_tensor
from .walk import dotted

_PLAIN = frozenset(
    "int float bool str bytes complex None ndarray NDArray Path PathLike dtype device Size Namespace Literal Callable "
    "Generator Logger".split()
)
_SEVERAL = frozenset("list List Sequence Iterable Iterator Collection deque set Set".split())
_BY_KEY = frozenset("dict Dict Mapping MutableMapping OrderedDict defaultdict".split())
_SHAPED = frozenset(
    "Bool Int Float Float16 Float32 Float64 Int Int32 Int64 UInt8 Num Real Shaped Inexact Integer".split()
)


def annotated(note: cst.BaseExpression | None) -> Value:
    """The kind that an annotation names; UNKNOWN where it names something else, or nothing.

    Text is read as the annotation it holds; `Optional[...]` is what is inside, since nobody computes with None.
    """
    match note:
        case cst.SimpleString():
            text = note.evaluated_value
            return _from_text(text) if isinstance(text, str) else Kind.UNKNOWN
        case cst.BinaryOperation(operator=cst.BitOr()):
            return _one_of((note.left, note.right))
        case cst.Subscript():
            return _subscripted(note)
    name = last_part(dotted(note))
    if name == "BoolTensor":
        return Kind.MASK
    return Kind.TENSOR if name in tn.TENSOR_TYPES else Kind.HOST if name in _PLAIN else Kind.UNKNOWN


@cache
def _from_text(text: str) -> Value:
    try:
        return annotated(cst.parse_expression(text))
    except cst.ParserSyntaxError:
        return Kind.UNKNOWN


def _subscripted(note: cst.Subscript) -> Value:
    name = last_part(dotted(note.value))
    inside = [e.slice.value for e in note.slice if isinstance(e.slice, cst.Index)]
    if not inside:
        return Kind.UNKNOWN
    match name:
        case "Optional" | "Union":
            return _one_of(inside)
        case "Annotated" | "Final" | "ClassVar":
            return annotated(inside[0])
        case "float" | "int" | "bool" if isinstance(inside[0], cst.SimpleString):  # a shape, for readers
            return _tensor_of(name)
        case "tuple" | "Tuple":
            return _tuple(inside)
        case _ if name in _SHAPED:
            return _tensor_of(name) if is_tensor(annotated(inside[0])) else Kind.UNKNOWN
    return _container(name, inside[-1])


def _container(name: str, item: cst.BaseExpression) -> Value:
    """A container that holds such items, by the name of its class."""
    if name in _BY_KEY:
        return Record(others=annotated(item))
    return _several(annotated(item)) if name in _SEVERAL else Kind.HOST if name in _PLAIN else Kind.UNKNOWN


def _tensor_of(name: str) -> Kind:
    """The kind of a tensor whose elements have a type of this name."""
    return Kind.MASK if name in ("Bool", "bool") else Kind.TENSOR


def _tuple(inside: Sequence[cst.BaseExpression]) -> Value:
    """`tuple[A, B]`, or `tuple[A, ...]`."""
    parts = tuple(annotated(part) for part in inside if not isinstance(part, cst.Ellipsis))
    if len(parts) == len(inside):
        return parts
    return _several(parts[0]) if parts else Kind.UNKNOWN


def _one_of(notes: Iterable[cst.BaseExpression]) -> Value:
    """The kind of what is one of these, None left out."""
    parts = [annotated(note) for note in notes if not is_none(note)]
    if parts and all(part == parts[0] for part in parts):
        return parts[0]
    if any(is_tensor(part) for part in parts):
        return Kind.TENSOR if all(is_tensor(part) for part in parts) else Kind.MAYBE
    return Kind.UNKNOWN


def _several(item: Value) -> Value:
    if is_tensor(item) or item is Kind.SEQUENCE:
        return Kind.SEQUENCE
    return Kind.HOST if item is Kind.HOST else Kind.UNKNOWN
