"""What can be reached from some items along their links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def closure(start: Iterable[T], links: Callable[[set[T]], Iterable[T]]) -> frozenset[T]:
    """The items of `start` and all that `links` leads to from them, directly or through others.

    It is asked for many items at once, and for each once only.
    """
    reached = set(start)
    pending = set(reached)
    while pending:
        pending = set(links(pending)) - reached
        reached |= pending
    return frozenset(reached)
