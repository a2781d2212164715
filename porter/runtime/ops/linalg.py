"""Determinant and inverse of small square matrices, with the gradients that XLA does not give them."""

from typing import Any

import torch

from .forms import wants_device_form
from .host import on_the_host


def logdet(input: torch.Tensor) -> torch.Tensor:
    """Logarithm of the determinant of [..., n, n]: [...]; nan where it is negative, -inf where it is 0."""
    if not _plain(input) or not wants_device_form(input):
        return on_the_host(torch.logdet, input)
    result: torch.Tensor = _LogDet.apply(input)  # type: ignore[no-untyped-call]
    return result


def inverse(input: torch.Tensor) -> torch.Tensor:
    """Inverse of [..., n, n]. A singular matrix raises on the CPU; on XLA the result is not finite."""
    if not _plain(input) or not wants_device_form(input):
        return on_the_host(torch.inverse, input)
    result: torch.Tensor = _Inverse.apply(input)  # type: ignore[no-untyped-call]
    return result


def _plain(input: torch.Tensor) -> bool:
    """Whether these are matrices that torch takes, of real numbers; what is no tensor is torch's to turn down."""
    if not isinstance(input, torch.Tensor):
        return False
    known = input.dtype in (torch.float32, torch.float64) and input.dim() > 1
    return known and input.shape[-1] == input.shape[-2] and input.numel() > 0


def _invert(matrix: torch.Tensor) -> torch.Tensor:
    # Without the check for singularity, which reads a value back to the host.
    result: torch.Tensor = torch.linalg.inv_ex(matrix, check_errors=False)[0]
    return result


class _Inverse(torch.autograd.Function):
    """d(A^-1) = -A^-1 dA A^-1."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor) -> torch.Tensor:
        result = _invert(matrix)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        (result,) = ctx.saved_tensors
        transposed = result.mT
        slope: torch.Tensor = -(transposed @ grads[0] @ transposed)
        return slope


class _LogDet(torch.autograd.Function):
    """d(log det A) = trace(A^-1 dA)."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor) -> torch.Tensor:
        result = torch.logdet(matrix)
        ctx.save_for_backward(matrix, result)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        matrix, result = ctx.saved_tensors
        slope = grads[0].unsqueeze(-1).unsqueeze(-1) * inverse(matrix).mT
        negative = result.isnan().unsqueeze(-1).unsqueeze(-1)
        return torch.where(negative, torch.zeros_like(slope), slope)
