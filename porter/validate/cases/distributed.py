"""distrib.py and ddp_utils.py, as far as one process can show it: nothing is to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.cases.files import raised
from porter.validate.cases.shapes import drawn, nothing

_X = drawn(x=("width", "frames"))


def _leaves(function: Any, given: Batch) -> object:
    """What becomes of tensors that processes would share."""
    tensors = [value.clone() for value in given.values()]
    function(tensors)
    return tensors


def _reduced(function: Any, given: Batch) -> object:
    value = given["x"].clone()
    returned = function(value)
    return value if returned is None else returned


def _gradients(function: Any, given: Batch) -> object:
    parameter = given["x"].detach().clone().requires_grad_()
    parameter.grad = given["x"] * 2
    function([parameter])
    return parameter.grad


@contextmanager
def _alone() -> Iterator[None]:
    """In a process group of this process, on both sides."""
    dist.init_process_group("gloo", store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _gathered(function: Any, given: Batch) -> object:
    """What is gathered, and the gradient of its squares, or what asking for that raises."""
    with _alone(), torch.set_grad_enabled(True):
        x = given["x"].detach().requires_grad_()
        found = function.apply(x)
        return found.detach(), raised(lambda: torch.autograd.grad(found.square().sum(), x))


CASES = (
    Case(
        "distributed",
        (
            Part("distrib", "all_reduce", _X, call=_reduced),
            Part("distrib", "broadcast_tensors", _X, call=_leaves),
            Part("distrib", "sync_buffer", _X, call=_leaves),
            Part("distrib", "sync_grad", _X, call=_gradients),
            Part("distrib", "average_metrics", nothing, call=lambda f, given: f({"loss": 1.5, "other": 2.0}, 3)),
            Part("distrib", "rank", nothing, call=lambda f, given: f()),
            Part("distrib", "world_size", nothing, call=lambda f, given: f()),
            Part("distrib", "is_distributed", nothing, call=lambda f, given: int(f())),
        ),
        gradients=False,
    ),
    Case(
        "distributed.group",
        (Part("ddp_utils", "SyncFunction", _X, call=_gathered),),
        gradients=False,
        on_host=True,
    ),
)
