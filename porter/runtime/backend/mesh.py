"""The mesh of all devices of all processes, and how tensors lie on it."""

from typing import Any

import torch

from . import xla

current: Any = None  # where there are several devices, once `start_replicas` ran


def hosts() -> int:
    """How many processes, one a host, have to compile the same graphs."""
    return 1 if current is None else int(xla.runtime().process_count())


def devices() -> int:
    """How many devices a graph is divided over, along the first axis of its batch."""
    return 1 if current is None else int(current.size())


def sent(tensor: torch.Tensor, device: torch.device, first_axis: str | None = None) -> torch.Tensor:
    """A host tensor as data on `device`; its first axis divided along that axis of the mesh, if one is named."""
    sharding = None
    if current is not None:
        axes = (first_axis, *[None] * (tensor.dim() - 1))[: tensor.dim()]
        sharding = xla.spmd().ShardingSpec(current, axes, minibatch=first_axis is not None)
    uploaded: list[torch.Tensor] = xla.model().send_cpu_data_to_device([tensor.contiguous()], device, sharding)
    return uploaded[0]


def mark_replicated(*tensors: torch.Tensor) -> None:
    """Say of those that are on XLA that every replica has them whole, unless something is said already."""
    if current is None:
        return
    native, spmd = xla.require()._XLAC, xla.spmd()
    with torch.no_grad():
        for tensor in tensors:
            if tensor.device.type == "xla" and not native._get_xla_sharding_spec(tensor):
                spmd.mark_sharding(tensor, current, (None,) * tensor.dim())
