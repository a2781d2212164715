"""Tensors of the package's runtime that are computed when somebody looks at them."""

from __future__ import annotations

from functools import cache
from typing import Any


def is_waiting(value: Any) -> bool:
    """Whether a value is such a tensor, of whichever package."""
    return _waits(type(value))  # type: ignore[arg-type]  # types can be hashed


@cache  # asked of each argument of each operation
def _waits(kind: type) -> bool:
    return any(one.__name__ == "Deferred" and one.__module__.endswith(".ops.deferred") for one in kind.__mro__)


def looked_at(value: Any) -> Any:
    """The tensor of a value that waits, and any other as it is."""
    return value.read() if is_waiting(value) else value
