"""The largest of some lengths, where it can be known."""

from __future__ import annotations

import torch


def static_max(lengths: torch.Tensor) -> torch.Tensor:
    """The largest of `lengths` (integers, any shape; 0-dim result), for host tensors only.

    On a device the size of a tensor cannot follow a value without stopping the step and compiling a graph for each
    value: ValueError says what to do instead.
    """
    if lengths.device.type != "cpu":
        raise ValueError(
            "the length of a mask would follow the lengths on the device, which costs a host sync and a graph for each "
            "maximum: pass the padded length (for sequence_mask: max_length=x.size(-1))"
        )
    return lengths.max()
