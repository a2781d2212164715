"""Copies of what a step left on the devices."""

from typing import Any

import torch


def host_copy(value: Any) -> Any:
    """`value` with its tensors on the CPU: a tensor, or a list or tuple of them. Waits for the step that makes them."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, (list, tuple)):
        return type(value)(map(host_copy, value))
    return value
