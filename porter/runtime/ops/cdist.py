"""Distances between two sets of points; XLA has no backward of torch's kernel."""

from typing import Any

import torch

from .forms import wants_device_form


def cdist(x1: torch.Tensor, x2: torch.Tensor, p: float = 2.0) -> torch.Tensor:
    """Distances of every point of x1 [..., P, M] from every point of x2 [..., R, M]: [..., P, R].

    p is 2 (Euclidean) or 1 (ValueError otherwise on XLA). The gradient between equal points is 0. The XLA
    form takes the differences themselves, so near points keep their digits where `torch.cdist` may go through
    a matrix product. Half precision is widened to float32.
    """
    if not wants_device_form(x1, x2):
        return torch.cdist(x1, x2, p)
    if p not in (1, 2):
        raise ValueError(f"cdist on XLA knows p = 1 and p = 2, not {p}")
    wide = torch.promote_types(torch.promote_types(x1.dtype, x2.dtype), torch.float32)
    x1, x2 = x1.to(wide), x2.to(wide)
    batch = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])  # type: ignore[no-untyped-call]
    x1, x2 = x1.expand(*batch, *x1.shape[-2:]), x2.expand(*batch, *x2.shape[-2:])
    result: torch.Tensor = _Distance.apply(x1, x2, p == 2)  # type: ignore[no-untyped-call]
    return result


class _Distance(torch.autograd.Function):
    """Saves the points, not their [..., P, R, M] differences: those are computed again, in fused loops."""

    @staticmethod
    def forward(ctx: Any, x1: torch.Tensor, x2: torch.Tensor, euclidean: bool) -> torch.Tensor:
        difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
        distance = difference.square().sum(-1).sqrt() if euclidean else difference.abs().sum(-1)
        ctx.save_for_backward(x1, x2, distance)
        ctx.euclidean = euclidean
        return distance

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x1, x2, distance = ctx.saved_tensors
        grad = grads[0].unsqueeze(-1)
        difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
        if ctx.euclidean:
            length = distance.unsqueeze(-1)
            pull = torch.where(length > 0, grad * difference / length, torch.zeros_like(difference))
        else:
            pull = grad * difference.sign()
        return pull.sum(-2), -pull.sum(-3), None
