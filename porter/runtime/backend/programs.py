"""Programs of XLA's as part of a graph."""

import functools
from collections.abc import Sequence
from typing import Any

import torch

from . import mesh, xla


def call_program(
    name: str, hlo: bytes, tensors: Sequence[torch.Tensor], of_batch: tuple[Sequence[bool], Sequence[bool]]
) -> list[torch.Tensor]:
    """What a program, a serialized HloModuleProto, makes of XLA tensors: part of their graph.

    `of_batch` tells for each of `tensors` and of the results whether its first axis is that of the batch; results that
    are not are sums over it. XLA cannot divide a program: with several devices each runs its own, which is for its part
    of the batch.
    """
    count = mesh.devices()
    if count > 1:
        tensors = [_own_part(tensor, divided) for tensor, divided in zip(tensors, of_batch[0], strict=True)]
    native = xla.require()._XLAC
    results = list(native._xla_user_computation(f"xla::{name}", list(tensors), _computation(hlo)))
    if count > 1:
        results = [_from_parts(result, divided) for result, divided in zip(results, of_batch[1], strict=True)]
    return results


def _own_part(tensor: torch.Tensor, divided: bool) -> torch.Tensor:
    """What a device has of a tensor: its part along the first axis, or all of it."""
    axes = ("data" if divided else None, *[None] * (tensor.dim() - 1))
    own: torch.Tensor = xla.spmd().enable_manual_sharding(tensor.clone(), axes, mesh=mesh.current).global_tensor
    return own


def _from_parts(part: torch.Tensor, divided: bool) -> torch.Tensor:
    """The tensor that the devices have parts of along the first axis, or the sum of what each has."""
    part = part if divided else part.unsqueeze(0)
    shape = (part.shape[0] * mesh.devices(), *part.shape[1:])
    axes = ("data", *[None] * (part.dim() - 1))
    whole: torch.Tensor = xla.spmd().disable_manual_sharding(part, axes, shape, mesh=mesh.current).global_tensor
    return whole if divided else whole.sum(0)


@functools.lru_cache(maxsize=1024)  # a step calls each again; some ten shapes of a network
def _computation(hlo: bytes) -> Any:
    return xla.require()._XLAC._xla_op_computation_from_module_proto("kernel", hlo)
