"""distrib.py and ddp_utils.py, as far as one process can show it: nothing is to change."""

from __future__ import annotations

from typing import Any

from porter.validate.cases.base import Batch, Case, Part
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
)
