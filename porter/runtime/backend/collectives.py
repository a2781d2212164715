"""Ranks, and what programs that train together tell one another."""

import torch
import torch.distributed as dist

from . import mesh, xla


def get_world_size() -> int:
    """How many programs train together: torch.distributed's number where it is set up, else XLA's.

    1 after `start_replicas`, whatever the number of devices.
    """
    if process_group():
        return dist.get_world_size()
    if mesh.current is not None:
        return 1
    return int(xla.runtime().world_size()) if xla.live() is not None else 1


def get_rank() -> int:
    """This program's number, from 0."""
    if process_group():
        return dist.get_rank()
    return int(xla.runtime().global_ordinal()) if get_world_size() > 1 else 0


def is_distributed() -> bool:
    """Whether there is more than one program."""
    return get_world_size() > 1


def broadcast(tensor: torch.Tensor, src: int = 0) -> torch.Tensor:
    """Overwrite `tensor` with replica `src`'s, in place; nothing to do for one replica."""
    if not is_distributed():
        return tensor
    if process_group():
        dist.broadcast(tensor, src)
    else:
        xla.model().collective_broadcast([tensor], root_ordinal=src)
    return tensor


def all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    """Overwrite `tensor` with its sum over the replicas, in place; nothing to do for one replica."""
    if not is_distributed():
        return tensor
    if process_group():
        dist.all_reduce(tensor)
    else:
        xla.model().all_reduce("sum", [tensor])
    return tensor


def process_group() -> bool:
    """Whether torch.distributed is set up in this process."""
    return dist.is_available() and dist.is_initialized()
