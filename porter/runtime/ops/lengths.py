"""The largest of some lengths, as a size."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import torch


class _Current(threading.local):
    rounds: Callable[[int], int] | None = None


_current = _Current()


def static_max(lengths: torch.Tensor) -> int | float:
    """The largest of `lengths` (any shape, not empty), as a Python number: an int of integers.

    From a device this is a host sync, and what is sized by it makes a graph for each maximum. Whoever knows the padded
    length passes that instead (for sequence_mask: max_length=x.size(-1)); within `rounded` it is rounded up.
    """
    largest: int | float = lengths.max().item()
    if _current.rounds is None or not isinstance(largest, int):
        return largest
    return _current.rounds(largest)


@contextlib.contextmanager
def rounded(function: Callable[[int], int]) -> Iterator[None]:
    """Let `static_max` of this thread give `function(largest)`, which is no less, of whole numbers."""
    before, _current.rounds = _current.rounds, function
    try:
        yield
    finally:
        _current.rounds = before
