"""Distances between two sets of points; XLA has no backward of torch's kernel."""

import math
from typing import Any

import torch

from .forms import wants_device_form
from .host import on_the_host

_DTYPES = (torch.float32, torch.float64)
_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(
    x1: torch.Tensor, x2: torch.Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> torch.Tensor:
    """`torch.cdist`: distances of every point of x1 [..., P, M] from every point of x2 [..., R, M]: [..., P, R].

    The XLA form takes the differences themselves whatever `compute_mode` says, so near points keep their digits where
    `torch.cdist` may go through a matrix product. Arguments that torch turns down go to torch.
    """
    if not _plain(x1, x2, p, compute_mode) or not wants_device_form(x1, x2):
        return on_the_host(torch.cdist, x1, x2, p, compute_mode)
    batch = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])  # type: ignore[no-untyped-call]
    x1, x2 = x1.expand(*batch, *x1.shape[-2:]), x2.expand(*batch, *x2.shape[-2:])
    result: torch.Tensor = _Distance.apply(x1, x2, p)  # type: ignore[no-untyped-call]
    return result


def _plain(x1: torch.Tensor, x2: torch.Tensor, p: float, compute_mode: str) -> bool:
    if not isinstance(x1, torch.Tensor) or not isinstance(x2, torch.Tensor):
        return False
    if not isinstance(p, (int, float)) or not p >= 0 or compute_mode not in _MODES:
        return False
    if x1.dtype not in _DTYPES or x1.dtype != x2.dtype or min(x1.dim(), x2.dim()) < 2:
        return False
    return x1.shape[-1] == x2.shape[-1] and _broadcast(x1.shape[:-2], x2.shape[:-2])


def _broadcast(one: torch.Size, other: torch.Size) -> bool:
    """Whether two shapes broadcast to one."""
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(one), reversed(other), strict=False))


class _Distance(torch.autograd.Function):
    """Saves the points, not their [..., P, R, M] differences: those are computed again, in fused loops."""

    @staticmethod
    def forward(ctx: Any, x1: torch.Tensor, x2: torch.Tensor, p: float) -> torch.Tensor:
        apart = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).abs()
        if p == 2:
            distance = apart.square().sum(-1).sqrt()
        elif p == 1:
            distance = apart.sum(-1)
        elif p == 0:
            distance = (apart != 0).sum(-1).to(apart.dtype)
        elif math.isinf(p) and apart.shape[-1]:
            distance = apart.amax(-1)
        else:
            distance = apart.pow(p).sum(-1).pow(1 / p)
        ctx.save_for_backward(x1, x2, distance)
        ctx.p = p
        return distance

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x1, x2, distance = ctx.saved_tensors
        pull = grads[0].unsqueeze(-1) * _slope(x1.unsqueeze(-2) - x2.unsqueeze(-3), distance.unsqueeze(-1), ctx.p)
        return pull.sum(-2), -pull.sum(-3), None


def _slope(difference: torch.Tensor, distance: torch.Tensor, p: float) -> torch.Tensor:
    """What a distance grows by with each difference [..., P, R, M]; between equal points 0, as in torch."""
    zeros = torch.zeros_like(difference)
    if p == 0:
        return zeros
    if p == 1:
        return difference.sign()
    if math.isinf(p):
        return torch.where(difference.abs() == distance, difference.sign(), zeros)
    equal = distance == 0
    length = torch.where(equal, torch.ones_like(distance), distance)
    if p == 2:
        slope = difference / length
    else:
        still = difference == 0
        share = torch.where(still, torch.ones_like(difference), difference.abs() / length)
        slope = torch.where(still, zeros, difference.sign() * share.pow(p - 1))
    return torch.where(equal, zeros, slope)
