"""Chains of residual convolutions, which a TPU runs in one kernel where it can: see `kernels.residual`."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from .. import utils
from . import folding, forms, on_chip
from .weight_norm import computed_weight, weight_and_factor

if TYPE_CHECKING:
    from .kernels.residual import Plan


def residual_on_chip(
    signal: torch.Tensor, steps: Sequence[Sequence[nn.Module]], negative_slope: float
) -> torch.Tensor | str:
    """Residual layers in one kernel, where a TPU can have that: the result [B, C, T], or why it cannot.

    Each of `steps` is a convolution, or several one after the other, and its result is added to what it was given; a
    leaky ReLU is before each convolution. `signal` is [B, C, T], or folded as [B, factor * C, T / factor].
    """
    convolutions: list[Any] = list(itertools.chain.from_iterable(steps))
    refusal = _refusal(signal, convolutions)
    if refusal:
        return refusal
    dtype = on_chip.computed_in_all(signal, convolutions)
    if dtype is None:
        return on_chip.DTYPES
    weights, factors, offsets = zip(*(_taps(signal, convolution) for convolution in convolutions), strict=True)
    stored = {weight.dtype for weight in weights}
    if len(stored) != 1:
        return on_chip.DTYPES
    plan = on_chip.kernels("residual").Plan(
        batch=signal.shape[0],
        time=signal.shape[2],
        channels=signal.shape[1],
        offsets=offsets,
        depth=len(steps[0]),
        slope=float(negative_slope),
        held=on_chip.named(signal.dtype),
        dtype=on_chip.named(dtype),
        stored=on_chip.named(stored.pop()),
        precise=utils.precise_products(),
    )
    problem = on_chip.misfit(signal, "residual", plan)
    if problem:
        return problem
    return chained(signal, weights, _biases(signal, convolutions), factors, plan)


def chained(
    signal: torch.Tensor,
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor],
    factors: Sequence[torch.Tensor],
    plan: "Plan",
    sides: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """The result of a chain, [B, C, T] as `signal` is. weights are [taps, C (out), C (in)], biases and factors [C].

    `sides` may say for each leaky ReLU where its input counts as positive, 1, and where not, 0: one like `signal` each.
    """
    if has_torch_function_unary(signal):  # whoever watches torch's functions sees this one
        watched: torch.Tensor = handle_torch_function(chained, (signal,), signal, weights, biases, factors, plan, sides)
        return watched
    plan = dataclasses.replace(plan, sided=bool(sides))
    rows = [value.float().unsqueeze(0) for value in (*biases, *factors)]
    sides = [side.to(signal.dtype).transpose(1, 2) for side in sides]
    result: torch.Tensor = _Chain.apply(plan, signal.transpose(1, 2), *weights, *rows, *sides)  # type: ignore[no-untyped-call]
    return result.transpose(1, 2)


class _Chain(torch.autograd.Function):
    """The two kernels of a chain."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", signal: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        ctx.plan = plan
        ctx.save_for_backward(signal, *others)
        return on_chip.run("residual", plan, [signal, *others])[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        signal, *others = ctx.saved_tensors
        given = [signal, gradients[0].to(signal.dtype), *others]
        found = on_chip.run("residual", ctx.plan, given, backward=True)
        count = len(ctx.plan.offsets)
        first, weights, biases = found[0], found[1 : 1 + count], found[1 + count :]
        factors = others[2 * count : 3 * count]
        pairs = [on_chip.of_factor(*known, -2) for known in zip(weights, others[:count], factors, strict=True)]
        computed = [*(pair[0] for pair in pairs), *biases, *(pair[1] for pair in pairs)]
        results = [value.to(tensor.dtype) for value, tensor in zip(computed, others, strict=False)]
        return None, first, *results, *[None] * (len(others) - len(results))


def _refusal(signal: torch.Tensor, layers: Sequence[nn.Module]) -> str:
    """Why a signal, or one of these layers, is for no kernel; "" where all are."""
    if signal.dim() != 3 or not on_chip.wanted(signal, "residual"):
        return on_chip.unwanted(signal)
    refused = next((layer for layer in layers if not _passes(signal, layer)), None)
    return on_chip.refused(refused, signal) if refused is not None else ""


def _passes(signal: torch.Tensor, layer: nn.Module) -> bool:
    """Whether a signal, folded or not, can pass a layer in a kernel: the lanes are full before and after it."""
    if not isinstance(layer, nn.Conv1d) or not on_chip.is_plain(layer) or layer.in_channels != layer.out_channels:
        return False
    return signal.shape[1] % layer.in_channels == signal.shape[1] % forms.LANES == 0


def _biases(signal: torch.Tensor, layers: Sequence[Any]) -> list[torch.Tensor]:
    """The biases of convolutions of a folded signal, [C] each."""
    factor = signal.shape[1] // layers[0].out_channels
    no_bias = signal.new_zeros(signal.shape[1])
    return [no_bias if layer.bias is None else layer.bias.repeat(factor) for layer in layers]


def _taps(signal: torch.Tensor, layer: nn.Conv1d) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """The weight of a convolution of a folded signal as [taps, C, C], its factor, and each tap's offset in time."""
    factor = signal.shape[1] // layer.in_channels
    if factor == 1:
        weight, scale = weight_and_factor(layer)
        return weight.permute(2, 0, 1), scale, on_chip.offsets(layer)
    computed = computed_weight(layer)
    assert computed is not None
    weight, lowest = folding.folded_weight(
        computed, padding=int(layer.padding[0]), dilation=layer.dilation[0], factor=factor
    )
    return weight.permute(2, 0, 1), weight.new_ones(len(weight)), tuple(range(lowest, lowest + weight.shape[2]))
