"""Time folded into channels: [B, C, T] as [B, factor * C, T / factor], so that few channels fill a TPU's lanes.

Channel `phase * C + c` of a folded signal holds the samples `phase`, `phase + factor`, ... of channel c. A convolution
of a folded signal is a convolution again, with a weight of block-Toeplitz form: the same products and sums, and zeros.
(Space to depth; for convolutions of stride 1: Shi et al. 2016, arXiv:1609.05158.)
"""

import torch
import torch.nn.functional as F


def fold(signal: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, C, T, ...] -> [B, factor * C, T / factor, ...]. RuntimeError where T is no multiple of `factor`."""
    if factor == 1:
        return signal
    batch, channels, time, *rest = signal.shape
    phases = signal.reshape(batch, channels, time // factor, factor, *rest)
    return phases.movedim(3, 1).reshape(batch, factor * channels, time // factor, *rest)


def unfold(folded: torch.Tensor, factor: int) -> torch.Tensor:
    """[B, factor * C, T / factor, ...] -> [B, C, T, ...]."""
    if factor == 1:
        return folded
    batch, channels, time, *rest = folded.shape
    phases = folded.reshape(batch, factor, channels // factor, time, *rest)
    return phases.movedim(1, 3).reshape(batch, channels // factor, time * factor, *rest)


def conv1d(
    folded: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: int = 1,
    padding: int,
    dilation: int = 1,
    factor: int,
    groups: int = 1,
) -> torch.Tensor:
    """`F.conv1d` of a signal folded by `stride * factor`; the result is folded by `factor`.

    weight [O, C / groups, K] and bias [O] are those of the plain convolution, whose result must be `stride` times as
    short as its input: for a stride of 1, `2 * padding == dilation * (K - 1)`. Where it is longer or shorter, it is
    cut or continued to that length. With several groups each is folded on its own, and `factor` must be 1. A signal
    with an axis more, as periods have, is convolved along time alone.
    """
    inner = stride * factor
    if inner == 1 and 2 * padding == dilation * (weight.shape[2] - 1) and folded.dim() == 3:
        return F.conv1d(folded, weight, bias, padding=padding, dilation=dilation, groups=groups)
    wide, lowest = folded_weight(weight, stride=stride, padding=padding, dilation=dilation, factor=factor)
    return _convolved(folded, wide, bias, factor, lowest, groups)


def folded_weight(
    weight: torch.Tensor, *, stride: int = 1, padding: int, dilation: int, factor: int
) -> tuple[torch.Tensor, int]:
    """The weight [factor * O, stride * factor * C / groups, blocks] of `conv1d`, and which block its first tap reads.

    Blocks are counted from that of the result: -1 is the one before.
    """
    inner = stride * factor
    out, channels, _ = weight.shape
    taps = _dilated(weight.permute(2, 0, 1).flatten(1), dilation)
    # Sample u * r + n - p of the input, for output phase r and tap n, lies `lowest` to `highest` blocks away.
    lowest = -padding // inner
    highest = (stride * (factor - 1) + len(taps) - 1 - padding) // inner
    width = (highest - lowest + 1) * inner
    rows = _shifted(taps, -padding - lowest * inner, stride, factor, width)
    return _block_weight(rows, out, channels, inner), lowest


def conv_transpose1d(
    folded: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: int,
    padding: int,
    factor: int,
) -> torch.Tensor:
    """`F.conv_transpose1d` of a signal folded by `factor`; the result is folded by `stride * factor`.

    weight [C, O, K] and bias [O] are those of the plain one, whose result must be `stride` times as long as its input:
    `2 * padding == K - stride`.
    """
    outer = stride * factor
    channels, out, _ = weight.shape
    taps = weight.permute(2, 1, 0).flatten(1)
    count = -(-len(taps) // stride)
    taps = F.pad(taps, (0, 0, 0, count * stride - len(taps))).reshape(count, -1).flip(0)
    # Output phase r reads, of the taps r + p (mod stride), the n-th at sample (r + p) // stride - n of the input.
    first, last = padding // stride, (padding + outer - 1) // stride
    lowest, highest = (first - count + 1) // factor, last // factor
    width = (highest - lowest + 1) * factor
    rows = _shifted(taps, first - count + 1 - lowest * factor, 1, last - first + 1, width)
    rows = rows.reshape(last - first + 1, width, stride, out * channels).transpose(1, 2).flatten(0, 1)
    skipped = padding - first * stride
    wide = _block_weight(rows[skipped : skipped + outer], out, channels, factor)
    return _convolved(folded, wide, bias, outer, lowest)


def _dilated(taps: torch.Tensor, dilation: int) -> torch.Tensor:
    """[K, N] -> [dilation * (K - 1) + 1, N], zeros between the taps."""
    if dilation == 1:
        return taps
    spread = F.pad(taps.unsqueeze(1), (0, 0, 0, dilation - 1)).flatten(0, 1)
    return spread[: dilation * (len(taps) - 1) + 1]


def _shifted(taps: torch.Tensor, start: int, step: int, rows: int, width: int) -> torch.Tensor:
    """[K, N] -> [rows, width, N]: row r is zeros, but for the taps from `start + r * step` on."""
    # Rows cut out of repetitions that are `step` longer than a row: each begins that much earlier in its repetition.
    one = F.pad(taps, (0, 0, start, width + step - start - len(taps)))
    return one.repeat(rows, 1)[: rows * width].reshape(rows, width, taps.shape[1])


def _block_weight(rows: torch.Tensor, out: int, channels: int, phases: int) -> torch.Tensor:
    """[phases of the result, blocks * phases of the input, O * C] as a convolution's weight over blocks."""
    factor, width = len(rows), rows.shape[1]
    weight = rows.reshape(factor, width // phases, phases, out, channels).permute(0, 3, 2, 4, 1)
    return weight.reshape(factor * out, phases * channels, width // phases)


def _convolved(
    folded: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, factor: int, lowest: int, groups: int = 1
) -> torch.Tensor:
    """Convolve with a weight whose first tap reads the block `lowest` blocks away; the result is folded by `factor`."""
    highest = lowest + weight.shape[2] - 1
    wide = None if bias is None else bias.repeat(factor)
    if folded.dim() == 4:
        return F.conv2d(F.pad(folded, (0, 0, -lowest, highest)), weight.unsqueeze(-1), wide, groups=groups)
    if -lowest == highest:
        return F.conv1d(folded, weight, wide, padding=highest, groups=groups)
    return F.conv1d(F.pad(folded, (-lowest, highest)), weight, wide, groups=groups)
