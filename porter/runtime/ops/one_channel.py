"""Convolutions of one channel, with time in a TPU's lanes: no products of matrices, but sums of products."""

import functools
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_FEW = 16  # taps up to which a sum of products is cheaper than a matrix that is mostly padding


def known(channels: int, taps: int) -> bool:
    """Whether a convolution is one of these."""
    return channels == 1 and taps <= _FEW


def convolved(
    signal: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: int,
    padding: int,
    dilation: int,
    factor: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The convolution of [B, columns, T] by [C, taps], folded: [B, columns, factor * C, T / factor].

    Channel `phase * C + c` holds the samples `phase`, `phase + factor`, ... of channel c, and zeros after the last. It
    is computed as a layer does whose weight and signal are of `dtype`.
    """
    channels, taps = weight.shape
    count = (signal.shape[2] + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    length, inner = -(-count // factor), stride * factor
    most = stride * (factor - 1) + dilation * (taps - 1)  # how far the last tap of the last phase is
    blocks = length + most // inner
    padded = F.pad(signal.to(dtype).float(), (padding, max(0, blocks * inner - padding - signal.shape[2])))
    phases = padded[..., : blocks * inner].reshape(*signal.shape[:2], blocks, inner).transpose(2, 3)
    spread = F.pad(weight.to(dtype).float().unsqueeze(2), (0, dilation - 1)).flatten(1)[:, : most + 1]
    wide = torch.cat([_at(spread, stride * phase, most + 1) for phase in range(factor)])
    total: torch.Tensor = _Sum.apply(phases, wide, length)  # type: ignore[no-untyped-call]
    if bias is not None:
        total = total + bias.to(dtype).float().repeat(factor).unsqueeze(1)
    total = total.to(dtype)
    if count % factor:
        phase = torch.arange(factor * channels, device=total.device).div(channels, rounding_mode="floor")
        time = torch.arange(length, device=total.device) * factor + phase.unsqueeze(1)
        total = torch.where(time < count, total, 0)
    return total


class _Sum(torch.autograd.Function):
    """The sum of shifted samples times their weights; its gradients are few products of matrices, not many sums."""

    @staticmethod
    def forward(ctx: Any, phases: torch.Tensor, weight: torch.Tensor, length: int) -> torch.Tensor:
        ctx.save_for_backward(phases, weight)
        parts = [part.unsqueeze(2) * weight[:, at, None] for at, part in enumerate(_shifted(phases, weight, length))]
        return functools.reduce(operator.add, parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        phases, weight = ctx.saved_tensors
        inner, blocks, length = phases.shape[2], phases.shape[3], gradient.shape[3]
        shifted = torch.stack(_shifted(phases, weight, length), 2)
        with torch.autocast(phases.device.type, enabled=False):  # a backward pass may run inside a block of it
            by_weight = torch.einsum("bpcn,bpkn->ck", gradient, shifted)
            by_shifted = torch.einsum("bpcn,ck->bpkn", gradient, weight)
        found = []
        for phase in range(inner):
            starts = range(phase, weight.shape[1], inner)
            parts = [F.pad(by_shifted[:, :, at], (at // inner, blocks - length - at // inner)) for at in starts]
            found.append(functools.reduce(operator.add, parts) if parts else torch.zeros_like(phases[:, :, phase]))
        return torch.stack(found, 2), by_weight, None


def _shifted(phases: torch.Tensor, weight: torch.Tensor, length: int) -> list[torch.Tensor]:
    """The samples that each column of a weight is for: [B, columns, T / factor]."""
    inner = phases.shape[2]
    return [phases[:, :, at % inner, at // inner : at // inner + length] for at in range(weight.shape[1])]


def _at(spread: torch.Tensor, start: int, length: int) -> torch.Tensor:
    """Taps, from `start` on, among zeros."""
    cut = spread[:, : length - start]
    return F.pad(cut, (start, length - start - cut.shape[1]))


def folded(signal: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, columns, C, T] -> [B, columns, factor * C, T / factor], as `convolved` gives it."""
    if factor == 1:
        return signal
    padded = F.pad(signal, (0, -signal.shape[3] % factor))
    return padded.reshape(*signal.shape[:3], -1, factor).movedim(4, 2).flatten(2, 3)
