"""Copies of what a step left on the devices."""

import copy
from typing import Any

import torch

from .. import utils


def host_copy(value: Any) -> Any:
    """`value` with every tensor of a dict, list or tuple, however nested, on the CPU; waits for the step that makes it.

    What is on the CPU stays what it is. Of a batch that is spread over several hosts it is this host's part, so that
    one process can copy it alone.
    """
    return _copied(value, {})


def _copied(value: Any, done: dict[int, Any]) -> Any:
    """`value` with the tensors inside on the CPU; `done` keeps what occurs twice, by its identity, one thing."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, torch.Tensor):
        done[id(value)] = _copied_tensor(value)
    elif isinstance(value, dict):
        made = done[id(value)] = copy.copy(value)  # of its own class, with the attributes it carries
        for key, item in value.items():
            made[key] = _copied(item, done)
    elif isinstance(value, list):
        copied = done[id(value)] = copy.copy(value)
        copied[:] = [_copied(item, done) for item in value]
    elif isinstance(value, tuple):
        items = [_copied(item, done) for item in value]
        done[id(value)] = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    else:
        return value
    return done[id(value)]


def _copied_tensor(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type == "cpu":
        return tensor
    copied = utils.local_part(tensor.detach())
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(copied, tensor.requires_grad)
    return copied.requires_grad_(tensor.requires_grad)
