"""Convolutions that keep the input of the activation before them, not its result, which is cheap to compute again."""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import twins
from .forms import wants_tpu_form

Convolution = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]

_SOURCE = "_sovits_port_activation"  # of an activated tensor: its input, the slope, and the versions of both


def leaky_relu(input: torch.Tensor, negative_slope: float = 0.01, inplace: bool = False) -> torch.Tensor:
    """`F.leaky_relu`; on a TPU a convolution that follows may compute it again for its backward pass."""
    if has_torch_function_unary(input):  # whoever watches torch's functions sees this one
        watched: torch.Tensor = handle_torch_function(leaky_relu, (input,), input, negative_slope, inplace)
        return watched
    twin = twins.folded(input)
    if twin is not None and not inplace:
        return twins.unfolded(leaky_relu(twin.signal, negative_slope), twin.factor, twin.time)
    activated = F.leaky_relu(input, negative_slope, inplace)
    if not inplace and input.requires_grad and wants_tpu_form(input):
        setattr(activated, _SOURCE, (input, negative_slope, input._version, activated._version))
    return activated


def convolved(
    convolution: Convolution, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """`convolution(input, weight, bias)`, keeping what `leaky_relu` was given instead of its result.

    The result of an activation would be written for the backward pass and read again; its input is kept anyway.
    """
    source = getattr(input, _SOURCE, None)
    if source is None or not torch.is_grad_enabled():
        return convolution(input, weight, bias)
    before, slope, *versions = source
    if versions != [before._version, input._version]:  # one of them was written to
        return convolution(input, weight, bias)
    given = (before, weight, bias, input.detach(), convolution, slope)
    result: torch.Tensor = _Recomputed.apply(*given)  # type: ignore[no-untyped-call]
    return result


class _Recomputed(torch.autograd.Function):
    """A leaky ReLU and a convolution whose backward pass begins at the input of both."""

    @staticmethod
    def forward(
        ctx: Any,
        before: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        activated: torch.Tensor,
        convolution: Convolution,
        slope: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(before, weight, bias)
        ctx.convolution, ctx.slope = convolution, slope
        device = before.device.type
        enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        ctx.precision = functools.partial(torch.autocast, device, dtype=dtype, enabled=enabled)
        return convolution(activated, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        before, weight, bias = ctx.saved_tensors
        # Without a barrier XLA would see that the activation was computed before, and keep that.
        inputs = (utils.kept_apart(before), weight.detach(), None if bias is None else bias.detach())
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
        leaves = [leaf.requires_grad_() for i in wanted if (leaf := inputs[i]) is not None]
        with torch.set_grad_enabled(True), ctx.precision():
            result = ctx.convolution(F.leaky_relu(inputs[0], ctx.slope), *inputs[1:])
        gradients: list[torch.Tensor | None] = [None] * len(ctx.needs_input_grad)
        for i, found in zip(wanted, torch.autograd.grad(result, leaves, gradient), strict=True):
            gradients[i] = found
        return tuple(gradients)
