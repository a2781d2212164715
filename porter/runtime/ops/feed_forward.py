"""Two convolutions with a wide signal between them that never leaves the chip: see `kernels.feed_forward`."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import dropout, on_chip
from .weight_norm import computed_weight

if TYPE_CHECKING:
    from .kernels.feed_forward import Plan


def feed_forward_on_chip(
    signal: torch.Tensor,
    first: nn.Module,
    second: nn.Module,
    *,
    mask: torch.Tensor | None = None,
    p: float = 0.0,
    sides: tuple[int, int] = (0, 0),
) -> torch.Tensor | str:
    """Two convolutions in one kernel, where a TPU can have that: the result [B, C, T], or why it cannot.

    What the first gives of a signal [B, C, T] passes a ReLU, a dropout of `p` and a mask [B, 1, T], and is padded by
    zeros on both `sides`.
    """
    if signal.dim() != 3 or not on_chip.wanted(signal, "feed_forward"):
        return on_chip.unwanted(signal)
    if not _is_known(first, signal.shape[1]) or not isinstance(first, nn.Conv1d):
        return on_chip.refused(first, signal)
    if not _is_known(second, first.out_channels) or not isinstance(second, nn.Conv1d):
        return on_chip.refused(second, signal)
    time = signal.shape[2] + 2 * int(first.padding[0]) - first.kernel_size[0] + 1
    if time < 1 or min(sides) < 0 or not 0 <= p < 1:
        return "its signal is too short, or cut, or all of it is dropped"
    if mask is not None and not _is_mask(mask, (len(signal), 1, time)):
        return f"its mask is {list(mask.shape)} of {mask.dtype}, or has a gradient"
    dtype = on_chip.computed_in(signal, first)
    weights = [weight for layer in (first, second) if (weight := computed_weight(layer)) is not None]
    if dtype is None or weights[0].dtype != weights[1].dtype:
        return on_chip.DTYPES
    around = int(second.padding[0])
    plan: Plan = on_chip.kernels("feed_forward").Plan(
        batch=signal.shape[0],
        time=signal.shape[2],
        given=first.in_channels,
        inner=first.out_channels,
        gives=second.out_channels,
        taps=(first.kernel_size[0], second.kernel_size[0]),
        padding=((int(first.padding[0]),) * 2, (sides[0] + around, sides[1] + around)),
        masked=mask is not None,
        dropped=p > 0,
        scale=1 / (1 - p),
        dtype=on_chip.named(dtype),
        precise=utils.precise_products(),
    )
    problem = on_chip.misfit(signal, "feed_forward", plan)
    if problem:
        return problem
    kept = dropout.kept(torch.ones(len(signal), first.out_channels, time, device=signal.device), p) if p else None
    return fed(signal, weights, _biases(weights, (first.bias, second.bias)), mask, kept, plan)


def _is_mask(mask: torch.Tensor, shape: tuple[int, ...]) -> bool:
    return mask.shape == shape and not mask.requires_grad and mask.is_floating_point()


def _biases(weights: Sequence[torch.Tensor], told: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """Zeros where a layer has no bias."""
    known = zip(weights, told, strict=True)
    return [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in known]


def fed(
    signal: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    kept: torch.Tensor | None,
    plan: "Plan",
    sides: torch.Tensor | None = None,
) -> torch.Tensor:
    """What both convolutions make of a signal [B, C, T], with weights as torch has them.

    `sides` may say where the ReLU's input [B, C (inner), T] counts as positive, 1, and where not, 0.
    """
    if has_torch_function_unary(signal):  # whoever watches torch's functions sees this one
        given = (signal, weights, biases, mask, kept, plan, sides)
        watched: torch.Tensor = handle_torch_function(fed, (signal,), *given)
        return watched
    plan = dataclasses.replace(plan, sided=sides is not None)
    # The wide axis comes last: what fills a TPU's lanes is how it keeps such weights.
    rows = [weights[0].permute(2, 1, 0).float(), weights[1].permute(2, 0, 1).float()]
    rows += [bias.float().unsqueeze(0) for bias in biases]
    if mask is not None:
        rows.append(mask.float().transpose(1, 2))
    rows += [flag.to(torch.int8).transpose(1, 2) for flag in (kept, sides) if flag is not None]
    signal = signal.to(getattr(torch, plan.dtype))
    result: torch.Tensor = _FeedForward.apply(plan, signal.transpose(1, 2), *rows)  # type: ignore[no-untyped-call]
    return result.transpose(1, 2)


class _FeedForward(torch.autograd.Function):
    """The two kernels of two convolutions."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", *given: torch.Tensor) -> torch.Tensor:
        ctx.plan = plan
        ctx.save_for_backward(*given)
        return on_chip.run("feed_forward", plan, given)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        signal, *others = ctx.saved_tensors
        found = on_chip.run("feed_forward", ctx.plan, [signal, gradients[0], *others], backward=True)
        return None, *found, *[None] * (1 + len(others) - len(found))


def _is_known(layer: nn.Module, channels: int) -> bool:
    """Whether calling a layer is a convolution of so many channels, of stride 1, without groups, and nothing else."""
    if not isinstance(layer, nn.Conv1d) or isinstance(layer.padding, str) or layer.in_channels != channels:
        return False
    if (layer.groups, layer.stride, layer.dilation, layer.padding_mode) != (1, (1,), (1,), "zeros"):
        return False
    return on_chip.is_unhooked(layer)
