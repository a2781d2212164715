"""Cumulative sums as exact as the host's: a phase of thousands of turns has few bits left to lose."""

import functools
from typing import Any

import torch

from .. import utils
from .forms import wants_device_form

_WHOLE_BITS = 61  # of an int64, without its sign and one to spare
_RANGE = 126  # exponents of float32, either way


def cumsum(input: torch.Tensor, dim: int, **given: Any) -> torch.Tensor:
    """`torch.cumsum(input, dim)`: on the device too, of float32 each sum is rounded once.

    The host adds in double precision, one by one; XLA adds in float32, in an order of its own. Here whole numbers are
    added, which no order changes: a common power of two makes them of all elements, so that the largest sum fits. What
    is not finite, or of another type, is summed as XLA does.
    """
    if given or input.dtype != torch.float32 or not input.numel() or not wants_device_form(input):
        return torch.cumsum(input, dim, **given)
    total: torch.Tensor = _Sum.apply(input, dim)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, dim: int) -> torch.Tensor:
        ctx.dim = dim
        return _exact(input, dim)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        return cumsum(slopes[0].flip(ctx.dim), ctx.dim).flip(ctx.dim), None


def _exact(input: torch.Tensor, dim: int) -> torch.Tensor:
    largest = input.abs().max()  # amax() reduces nothing on XLA, if it is given no axis
    finite = largest < torch.finfo(input.dtype).max  # NaN is not
    largest = torch.where(finite, largest, 1.0).clamp(min=2.0**-100)
    room = _WHOLE_BITS - max(1, input.shape[dim]).bit_length() - 1  # the logarithm may be off by a rounding
    exponent = (room - 1 - torch.floor(torch.log2(largest))).long().clamp(-_RANGE, _RANGE).reshape(1)
    powers = _powers(input.device)
    whole = (torch.where(finite, input, 0.0) * powers.index_select(0, exponent + _RANGE)).long()
    total = torch.cumsum(whole, dim).to(input.dtype) * powers.index_select(0, _RANGE - exponent)
    return torch.where(finite, total, torch.cumsum(input, dim))


@functools.lru_cache(maxsize=4)
def _powers(device: torch.device) -> torch.Tensor:
    """2^-126 to 2^126, which no device has to compute."""
    return utils.constant(torch.tensor([2.0**k for k in range(-_RANGE, _RANGE + 1)]), device, torch.float32)
