"""Kinds of values, and how they combine."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What is known of a value."""

    UNKNOWN = "unknown"
    HOST = "host"  # a Python value: number, string, shape, device
    TENSOR = "tensor"
    MASK = "mask"  # a boolean tensor
    MODULE = "module"
    SEQUENCE = "sequence of tensors"


TENSORS = frozenset({Kind.TENSOR, Kind.MASK})
Value = Kind | tuple["Value", ...]
Env = dict[str, Value]


def is_tensor(value: Value) -> bool:
    """Whether a value is a tensor of any sort."""
    return value in TENSORS


def join(a: Value, b: Value) -> Value:
    """What is known of a value that is one or the other."""
    if a == b:
        return a
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(join(x, y) for x, y in zip(a, b, strict=True))
    for kind in (Kind.TENSOR, Kind.MASK):
        if kind in (a, b):
            return Kind.TENSOR
    return a if b is Kind.UNKNOWN else b if a is Kind.UNKNOWN else Kind.UNKNOWN


def element(value: Value) -> Value:
    """The kind of one item of an iterable."""
    if value in TENSORS:
        return value
    if value is Kind.SEQUENCE:
        return Kind.TENSOR
    if isinstance(value, tuple):
        result: Value = Kind.UNKNOWN
        for part in value:
            result = join(result, part)
        return result
    return value if value in (Kind.MODULE, Kind.HOST) else Kind.UNKNOWN


def unpacked(value: Value, count: int) -> tuple[Value, ...]:
    """The kinds of the parts of a value that is assigned to `count` targets."""
    if isinstance(value, tuple):
        return value if len(value) == count else (Kind.UNKNOWN,) * count
    if value is Kind.SEQUENCE:
        return (Kind.TENSOR,) * count
    return (value,) * count
