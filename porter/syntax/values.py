"""Kinds of values, and how they combine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What is known of a value."""

    UNKNOWN = "unknown"
    HOST = "host"  # a Python value: number, string, shape, device
    TENSOR = "tensor"
    MASK = "mask"  # a boolean tensor
    MODULE = "module"
    SEQUENCE = "sequence of tensors"
    MAYBE = "perhaps a tensor"  # an array, say: told apart by the scan only, and unknown to rules


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of one of some classes, given by full name, or several such objects."""

    classes: frozenset[str]
    several: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A dictionary: what it holds at the keys that are known, in order, and at any other."""

    items: tuple[tuple[str, Value], ...] = ()
    others: Value | None = None  # None where it has no other keys

    @property
    def values(self) -> tuple[Value, ...]:
        """What it holds, in order."""
        return (*(value for _, value in self.items), *(() if self.others is None else (self.others,)))

    def get(self, key: str | None) -> Value | None:
        """What a key holds, None being a key of which nothing is known; None where it has no such key."""
        if key is not None and key in (named := dict(self.items)):
            return named[key]
        held = self.values if key is None else self.values[len(self.items) :]
        found: Value | None = None
        for value in held:
            found = value if found is None else either(found, value)
        return found

    def updated(self, key: str | None, value: Value) -> Record:
        """The same with another value for a key, or for some key of which nothing is known."""
        if key is None:
            return Record(self.items, value if self.others is None else either(self.others, value))
        return Record(tuple({**dict(self.items), key: value}.items()), self.others)

    def joined(self, other: Record) -> Record:
        """The same with all that another holds, which goes before."""
        merged = Record(tuple({**dict(self.items), **dict(other.items)}.items()), self.others)
        return merged if other.others is None else merged.updated(None, other.others)


TENSORS = frozenset({Kind.TENSOR, Kind.MASK})
Value = Kind | Instance | Record | tuple["Value", ...]
Env = dict[str, Value]


def is_tensor(value: Value) -> bool:
    """Whether a value is a tensor of any sort."""
    return value in TENSORS


def may_be_tensor(value: Value) -> bool:
    """Whether a value is a tensor, or is used as arrays are without anything telling whose."""
    return value in TENSORS or value is Kind.MAYBE


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


# What is said of one of two values, first come first: a tensor wherever one of them is one, and on the host only where
# both are.
_ORDER = (Kind.TENSOR, Kind.MASK, Kind.SEQUENCE, Kind.MAYBE, Kind.UNKNOWN, Kind.MODULE, Kind.HOST)


def either(a: Value, b: Value) -> Value:
    """Like `join`, for those who must not miss a tensor: what nothing is known of stays unknown."""
    match a, b:
        case _ if a == b:
            return a
        case tuple(), tuple() if len(a) == len(b):
            return tuple(map(either, a, b))
        case Instance(), Instance():
            return Instance(a.classes | b.classes, a.several or b.several)
        case Record(), Record():
            return _either_record(a, b)
        case Kind(), Kind():
            return _either_kind(a, b)
    one, other = (b, a) if isinstance(a, Kind) else (a, b)  # None, say, until it is set
    return one if other is Kind.HOST else other if is_tensor(other) else Kind.UNKNOWN


def _either_record(a: Record, b: Record) -> Record:
    first = dict(a.items)
    merged = {**first, **{k: either(first[k], v) if k in first else v for k, v in b.items}}
    others = [value for value in (a.others, b.others) if value is not None]
    return Record(tuple(merged.items()), either(others[0], others[-1]) if others else None)


def _either_kind(a: Kind, b: Kind) -> Kind:
    if Kind.SEQUENCE in (a, b) and (is_tensor(a) or is_tensor(b)):
        return Kind.MAYBE
    if a in TENSORS and b in TENSORS:
        return Kind.TENSOR
    return next(kind for kind in _ORDER if kind in (a, b))


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
    if isinstance(value, Instance):
        return Instance(value.classes) if value.several else Kind.UNKNOWN
    if isinstance(value, Record):
        return Kind.HOST  # its keys
    return value if value in (Kind.MODULE, Kind.HOST, Kind.MAYBE) else Kind.UNKNOWN


def unpacked(value: Value, count: int) -> tuple[Value, ...]:
    """The kinds of the parts of a value that is assigned to `count` targets."""
    if isinstance(value, tuple):
        return value if len(value) == count else (Kind.UNKNOWN,) * count
    if value is Kind.SEQUENCE:
        return (Kind.TENSOR,) * count
    return (value,) * count
