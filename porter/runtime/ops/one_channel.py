"""Convolutions of one channel, with time in a TPU's lanes: no products of matrices, but sums of products."""

import torch
import torch.nn.functional as F

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
    taps = weight.shape[1]
    count = (signal.shape[2] + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    length, inner = -(-count // factor), stride * factor
    most = stride * (factor - 1) + dilation * (taps - 1)  # how far the last tap of the last phase is
    blocks = length + most // inner
    padded = F.pad(signal.to(dtype).float(), (padding, max(0, blocks * inner - padding - signal.shape[2])))
    phases = padded[..., : blocks * inner].reshape(*signal.shape[:2], blocks, inner).transpose(2, 3)
    weight = weight.to(dtype).float()
    found = []
    for phase in range(factor):
        starts = [stride * phase + dilation * tap for tap in range(taps)]
        parts = [phases[:, :, at % inner, at // inner : at // inner + length].unsqueeze(2) for at in starts]
        total = parts[0] * weight[:, :1]
        for tap, part in enumerate(parts[1:], 1):
            total = total + part * weight[:, tap : tap + 1]
        if bias is not None:
            total = total + bias.to(dtype).float().unsqueeze(1)
        valid = count - phase  # samples of this phase are every `factor`th from here
        total = total.to(dtype)
        found.append(total if -(-valid // factor) == length else F.pad(total[..., : length - 1], (0, 1)))
    return torch.cat(found, 2)


def folded(signal: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, columns, C, T] -> [B, columns, factor * C, T / factor], as `convolved` gives it."""
    if factor == 1:
        return signal
    padded = F.pad(signal, (0, -signal.shape[3] % factor))
    return padded.reshape(*signal.shape[:3], -1, factor).movedim(4, 2).flatten(2, 3)
