"""The largest of some lengths, as a size."""

from __future__ import annotations

import torch


def static_max(lengths: torch.Tensor) -> int | float:
    """The largest of `lengths` (any shape, not empty), as a Python number: an int of integers.

    From a device this is a host sync, and what is sized by it makes a graph for each maximum. Whoever knows the padded
    length passes that instead (for sequence_mask: max_length=x.size(-1)).
    """
    largest: int | float = lengths.max().item()
    return largest
