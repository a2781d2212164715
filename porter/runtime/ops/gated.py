"""Chains of gated convolutions, which a TPU runs in few kernels where it can: see `kernels.gated`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from .. import utils
from . import forms, on_chip
from .weight_norm import stored_dtype, weight_and_factor

if TYPE_CHECKING:
    from .kernels.gated import Plan


def gated_on_chip(
    signal: torch.Tensor,
    gates: Sequence[nn.Module],
    passes: Sequence[nn.Module],
    width: int,
    condition: torch.Tensor | None,
    mask: torch.Tensor,
) -> torch.Tensor | str:
    """Gated layers in few kernels, where a TPU can have that: the total [B, C, T] of all layers, or why it cannot.

    Layer i convolves the signal [B, C, T], C being `width`, by `gates[i]` and adds its 2 * C of the condition
    [B, layers * 2 * C, 1]; the tanh of the first half times the sigmoid of the second goes through `passes[i]`, of one
    tap. Of what that gives, the first half is added to the signal, which is then masked [B, 1, T], and the second to
    the total; the last layer gives the second half alone.
    """
    if signal.dim() != 3 or signal.shape[1] != width or not on_chip.wanted(signal, "gated"):
        return on_chip.unwanted(signal)
    misfit = _misfit(signal, gates, passes, condition, mask)
    if misfit:
        return misfit
    dtype = on_chip.computed_in_all(signal, (*gates, *passes))
    if dtype is None or len({stored_dtype(layer) for layer in (*gates, *passes)}) != 1:
        return on_chip.DTYPES
    plans = _plans(signal, gates, dtype)
    problem = on_chip.misfit(signal, "gated", *plans)
    if problem:
        return problem
    total = torch.zeros_like(signal)
    signal, total, rows = signal.transpose(1, 2), total.transpose(1, 2), mask.to(signal.dtype).transpose(1, 2)
    start = 0
    for plan in plans:
        given = _parameters(plan, start, gates, passes, condition)
        signal, total = _Chain.apply(plan, signal, total, rows, *given)  # type: ignore[no-untyped-call]
        start += plan.layers
    return total.transpose(1, 2)


class _Chain(torch.autograd.Function):
    """The two kernels of a chain: of signal, total, mask, conditions, biases, weights and their factors."""

    @staticmethod
    def forward(
        ctx: Any, plan: "Plan", signal: torch.Tensor, total: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.plan = plan
        ctx.save_for_backward(signal, *others)
        return tuple(on_chip.run("gated", plan, [signal, total, *_for_kernel(plan, *others)]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        signal, *others = ctx.saved_tensors
        flowed, total = (gradient.to(signal.dtype) for gradient in gradients)
        given = [signal, flowed, total, *_for_kernel(ctx.plan, *others)]
        first, *found = on_chip.run("gated", ctx.plan, given, backward=True)
        count = 2 * ctx.plan.layers
        weights, factors = others[3 : 3 + count], others[3 + count :]
        conditions, *by_weight, biases = found
        pairs = [on_chip.of_factor(*known, -1) for known in zip(by_weight, weights, factors, strict=True)]
        computed = [conditions, biases, *(pair[0] for pair in pairs), *(pair[1] for pair in pairs)]
        results = [value.to(tensor.dtype) for value, tensor in zip(computed, others[1:], strict=True)]
        return None, first, total, None, *results


def _for_kernel(plan: "Plan", *others: torch.Tensor) -> list[torch.Tensor]:
    """What the kernels are given after the signals: weights before biases, and factors by layer."""
    mask, conditions, biases, *layers = others
    weights, factors = layers[: 2 * plan.layers], layers[2 * plan.layers :]
    # Of the last layer nobody reads what goes to the signal.
    after = [F.pad(factor, (2 * plan.channels - len(factor), 0)) for factor in factors[1::2]]
    return [mask, conditions, *weights, biases, torch.stack(factors[::2]), torch.stack(after)]


def _misfit(
    signal: torch.Tensor,
    gates: Sequence[nn.Module],
    passes: Sequence[nn.Module],
    condition: torch.Tensor | None,
    mask: torch.Tensor,
) -> str:
    """Why layers, or the shapes of what they are given, are not those of a gated chain; "" where they are."""
    if mask.shape != (signal.shape[0], 1, signal.shape[2]) or mask.requires_grad:
        return f"its mask is {list(mask.shape)}, or has a gradient"
    if not _passes(signal, gates, passes):
        return "its layers are not all plain convolutions of such a chain"
    if condition is not None and condition.shape != (len(signal), 2 * len(gates) * signal.shape[1], 1):
        return f"its condition is {list(condition.shape)}"
    return ""


def _passes(signal: torch.Tensor, gates: Sequence[nn.Module], passes: Sequence[nn.Module]) -> bool:
    """Whether all layers are plain, and of the shapes of a gated chain."""
    if not all(map(on_chip.is_plain, (*gates, *passes))):
        return False
    width = signal.shape[1]
    opening: list[Any] = list(gates)
    taps: list[Any] = list(passes)
    if any(layer.kernel_size != (1,) or layer.in_channels != width for layer in taps):
        return False
    if [layer.out_channels for layer in taps] != [2 * width] * (len(taps) - 1) + [width]:
        return False
    return all((layer.in_channels, layer.out_channels) == (width, 2 * width) for layer in opening)


def _plans(signal: torch.Tensor, gates: Sequence[nn.Module], dtype: torch.dtype) -> list["Plan"]:
    """The chain in as few parts as the chip's memory takes, or in single layers where it does not take these."""
    kernel, memory = on_chip.kernels("gated"), forms.kernel_memory()
    count = size = len(gates)
    while True:
        plans: list[Plan] = [
            kernel.Plan(
                batch=signal.shape[0],
                time=signal.shape[2],
                channels=signal.shape[1],
                offsets=tuple(on_chip.offsets(layer) for layer in gates[start : start + size]),
                last=start + size >= count,
                held=on_chip.named(signal.dtype),
                dtype=on_chip.named(dtype),
                stored=on_chip.named(stored_dtype(gates[0])),
                precise=utils.precise_products(),
            )
            for start in range(0, count, size)
        ]
        if size == 1 or not any(kernel.misfit(plan, memory) for plan in plans):
            return plans
        size //= 2


def _parameters(
    plan: "Plan",
    start: int,
    gates: Sequence[nn.Module],
    passes: Sequence[nn.Module],
    condition: torch.Tensor | None,
) -> list[torch.Tensor]:
    """What a chain is given after the mask: conditions, biases by layer, weights and their factors."""
    width = plan.channels
    conditions, weights, factors, biases = [], [], [], []
    for i in range(start, start + plan.layers):
        (gate, by_gate), (onward, by_onward) = weight_and_factor(gates[i]), weight_and_factor(passes[i])
        weights += [gate.permute(2, 1, 0), onward.squeeze(2).t()]  # as a TPU keeps them: its lanes are full
        factors += [by_gate.float(), by_onward.float()]
        conditions.append(_bias(gates[i], gate))
        biases.append(F.pad(_bias(passes[i], onward), (2 * width - len(onward), 0)))
    added = torch.stack(conditions).unsqueeze(0)  # [1, layers, 2 * C]
    if condition is None:
        added = added.expand(plan.batch, -1, -1)
    else:
        own = condition[:, 2 * width * start : 2 * width * (start + plan.layers), 0]
        added = added + own.reshape(plan.batch, plan.layers, 2 * width)
    return [added.float(), torch.stack(biases).float(), *weights, *factors]


def _bias(layer: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    bias = layer.bias
    return weight.new_zeros(len(weight)) if bias is None else bias  # type: ignore[return-value]
