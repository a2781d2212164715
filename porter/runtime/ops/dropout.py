"""Dropout that a TPU keeps a byte an element of, and products that compute again what was dropped."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function

from .. import utils
from .deferred import Deferred
from .forms import wants_tpu_form
from .stand_in import StandIn

_SOURCE = "_sovits_port_dropped"  # of a result: what it was made of, and the versions of both


class Dropout(nn.Dropout, metaclass=StandIn):
    """`nn.Dropout`; on a TPU, the backward pass keeps which elements stayed, not the numbers that decided it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`input` with some elements zero and the others scaled; as it is outside training."""
        idle = not self.training or self.inplace or not 0 < self.p < 1
        if idle or not input.requires_grad or not wants_tpu_form(input):
            return super().forward(input)
        return dropped(input, kept(torch.ones_like(input), self.p), 1 / (1 - self.p))


def kept(ones: torch.Tensor, p: float) -> torch.Tensor:
    """Which elements a dropout keeps, as bool."""
    # Whoever watches torch's functions sees a dropout. Without a barrier XLA would keep the random numbers.
    return utils.kept_apart(F.dropout(ones, p) != 0)


def dropped(input: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
    """What a dropout makes of `input`, given which elements it keeps."""
    result: torch.Tensor = _Dropped.apply(input, kept, scale)  # type: ignore[no-untyped-call]
    setattr(result, _SOURCE, (input, kept, scale, input._version, result._version))
    return result


def matmul(input: torch.Tensor, other: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """`torch.matmul`; of what a `Dropout` gave on a TPU, the backward pass keeps what that was given.

    The result of a dropout would be written for the backward pass and read again; what it was given is kept anyway.
    Under autocast that result is half as large, and nothing is gained.
    """
    if out is not None:
        return torch.matmul(input, other, out=out)
    if isinstance(input, fx.Proxy) or isinstance(other, fx.Proxy):
        traced: torch.Tensor = handle_torch_function(matmul, (input, other), input, other)
        return traced
    source = _source(input, other)
    if source is None:
        return torch.matmul(input, other)
    result: torch.Tensor = _Product.apply(*source, input.detach(), other)  # type: ignore[no-untyped-call]
    return result


def _source(input: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """What a `Dropout` made `input` of, where the backward pass of a product with `other` can begin there."""
    waits = isinstance(input, Deferred) or isinstance(other, Deferred)
    source = None if waits else getattr(input, _SOURCE, None)
    if source is None or not torch.is_grad_enabled() or torch.is_autocast_enabled(input.device.type):
        return None
    if input.shape[:-2] != other.shape[:-2] or input.dim() < 2:
        return None
    before, kept, scale, *versions = source
    return (before, kept, scale) if versions == [before._version, input._version] else None  # neither was written to


class _Dropped(torch.autograd.Function):
    """A dropout, given which elements stay."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return _scaled(input, kept, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _scaled(gradient, ctx.saved_tensors[0], ctx.scale), None, None


class _Product(torch.autograd.Function):
    """A dropout and a product whose backward pass begins at the input of both."""

    @staticmethod
    def forward(
        ctx: Any, before: torch.Tensor, kept: torch.Tensor, scale: float, dropped: torch.Tensor, other: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(before, kept, other)
        ctx.scale = scale
        return torch.matmul(dropped, other)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        before, kept, other = ctx.saved_tensors
        dropped = _scaled(utils.kept_apart(before), kept, ctx.scale)
        first = torch.matmul(gradient, other.transpose(-2, -1))
        second = torch.matmul(dropped.transpose(-2, -1), gradient)
        return _scaled(first, kept, ctx.scale), None, None, None, second


def _scaled(values: torch.Tensor, kept: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.where(kept, values * scale, 0)
