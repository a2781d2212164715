"""Small questions about values and expressions that several parts ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax.values import Instance, Kind, Record, Value, either, may_be_tensor
from .binding import several


def is_cpu(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an expression names the CPU as a device."""
    if isinstance(node, cst.Call) and file.resolve(node.func) == "torch.device" and node.args:
        node = node.args[0].value
    return isinstance(node, cst.SimpleString) and node.evaluated_value == "cpu"


def many(value: Value) -> Value:
    """Several of one kind of value."""
    return Instance(value.classes, several=True) if isinstance(value, Instance) else several([value])


def one_of(values: Iterable[Value]) -> Value:
    """What is known of a value that is one of these."""
    every = list(values)
    return reduce(either, every) if every else Kind.UNKNOWN


def unsure(values: Iterable[Value]) -> Value:
    """What is known of what something unknown makes of these."""
    return Kind.MAYBE if any(map(holds, values)) else Kind.UNKNOWN


def holds(value: Value) -> bool:
    """Whether a value is a tensor, perhaps, or holds some."""
    if isinstance(value, (tuple, Record)):
        return any(map(holds, value.values if isinstance(value, Record) else value))
    return may_be_tensor(value) or value is Kind.SEQUENCE


def plain(values: Sequence[Value]) -> Value:
    """What Python makes of these: a Python value of Python values."""
    return Kind.HOST if all(value is Kind.HOST for value in values) else Kind.UNKNOWN
