"""Convolutions over few channels or many small groups, laid out so that they fill a TPU's lanes."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from . import folding
from .forms import LANES, wants_tpu_form

_WIDE = 2 * LANES  # channels up to which zeros between groups cost less than arrays that are padded


class Layout(NamedTuple):
    """How a convolution is laid out: the result folded by `factor`, its groups merged into `blocks`."""

    factor: int
    blocks: int


class Conv1d(nn.Conv1d):
    """`nn.Conv1d` with the same parameters and results; only on a TPU it is computed in another layout."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        layout = self._layout() if input.dim() == 3 and wants_tpu_form(input) else None
        if layout is None:
            plain: torch.Tensor = super()._conv_forward(input, weight, bias)
            return plain
        return conv1d(
            input,
            weight,
            bias,
            stride=self.stride[0],
            padding=int(self.padding[0]),
            dilation=self.dilation[0],
            groups=self.groups,
            layout=layout,
        )

    def _layout(self) -> Layout | None:
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return None
        return fitting(self.in_channels, self.out_channels, self.groups, self.stride[0])


def fitting(channels: int, out: int, groups: int, stride: int) -> Layout | None:
    """The layout in which a convolution fills a TPU's lanes; None where the plain one is as good."""
    if 1 < groups == channels:  # of one channel each: there is nothing to merge them for
        return None
    factor = max(1, _WIDE // out)
    if channels * stride * factor <= _WIDE:
        return Layout(factor, 1) if factor > 1 or groups > 1 else None
    merged = (n for n in range(1, groups) if groups % n == 0 and channels * stride <= LANES * n)
    return next((Layout(1, blocks) for blocks in merged), None)


def conv1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    layout: Layout,
) -> torch.Tensor:
    """`F.conv1d` of [B, C, T] by way of a folded signal. RuntimeError where T is shorter than the kernel."""
    factor, blocks = layout
    batch, channels, time = input.shape
    count = (time + 2 * padding - dilation * (weight.shape[2] - 1) - 1) // stride + 1
    if count < 1 or channels != weight.shape[1] * groups:  # torch's own words for it
        return F.conv1d(input, weight, bias, stride, padding, dilation, groups)
    inner = stride * factor
    length = max(-(-time // inner), -(-count // factor))
    padded = F.pad(input, (0, length * inner - time))
    folded = folding.fold(padded.reshape(batch * blocks, channels // blocks, -1), inner)
    found = folding.conv1d(
        folded.reshape(batch, inner * channels, length),
        merge_groups(weight, groups, blocks),
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        factor=factor,
        groups=blocks,
    )
    return folding.unfold(found, factor)[..., :count]


def merge_groups(weight: torch.Tensor, groups: int, blocks: int) -> torch.Tensor:
    """The weight [O, C / groups, K] of a grouped convolution as [O, C / blocks, K], zeros between the groups."""
    if groups == blocks:
        return weight
    out, channels, kernel = weight.shape
    count = groups // blocks
    number = torch.arange(count, device=weight.device)
    own = (number.unsqueeze(1) == number).to(weight.dtype).reshape(1, count, 1, count, 1, 1)
    spread = weight.reshape(blocks, count, out // groups, 1, channels, kernel) * own
    return spread.reshape(out, count * channels, kernel)
