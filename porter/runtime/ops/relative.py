"""Embeddings of relative positions inside a window, as a TPU likes them: in the diagonals that they fill."""

from typing import Any

import torch


def spread(products: torch.Tensor) -> torch.Tensor:
    """Diagonals [..., l, 2w + 1] to [..., l, l], 0 elsewhere."""
    result: torch.Tensor = _Spread.apply(products)  # type: ignore[no-untyped-call]
    return result


def relative_values(weights: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """The embeddings of the values' positions relative to each query, summed by their weights.

    weights [..., l, l], embeddings [h or 1, 2w + 1, d]: [..., l, d].
    """
    near = _Diagonals.apply(weights, embeddings.shape[-2])  # type: ignore[no-untyped-call]
    return torch.matmul(near, embeddings)


class _Spread(torch.autograd.Function):
    """[..., l, 2w + 1] to diagonals of [..., l, l]."""

    @staticmethod
    def forward(ctx: Any, products: torch.Tensor) -> torch.Tensor:
        ctx.count = products.shape[-1]
        return _spread(products)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return _diagonals(grads[0], ctx.count)


class _Diagonals(torch.autograd.Function):
    """[..., l, l] to its 2w + 1 middle diagonals, [..., l, 2w + 1]."""

    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, count: int) -> torch.Tensor:
        return _diagonals(weights, count)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _spread(grads[0]), None


def _offsets(length: int, device: torch.device) -> torch.Tensor:
    """How far each of [l] positions is behind each other one: [l, l]."""
    positions = torch.arange(length, device=device)
    return positions.unsqueeze(0) - positions.unsqueeze(1)


def _spread(products: torch.Tensor) -> torch.Tensor:
    offsets = _offsets(products.shape[-2], products.device)
    result = torch.zeros((), dtype=products.dtype, device=products.device)
    for i in range(products.shape[-1]):  # selects, which fuse with whatever comes next
        result = torch.where(offsets == i - products.shape[-1] // 2, products[..., i : i + 1], result)
    return result


def _diagonals(weights: torch.Tensor, count: int) -> torch.Tensor:
    wanted = torch.arange(count, device=weights.device).view(-1, 1, 1) - count // 2
    found = torch.where(_offsets(weights.shape[-1], weights.device) == wanted, weights.unsqueeze(-3), 0)
    return found.sum(-1).transpose(-2, -1)
