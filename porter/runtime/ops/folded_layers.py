"""Layers of an upsampling decoder that, on a TPU, pass signals on with time folded into channels."""

import functools
from collections.abc import Iterable

import torch
from torch import nn

from . import folding
from .forms import LANES, wants_tpu_form
from .recomputed import convolved


def fold_time(upsamplings: nn.ModuleList, blocks: nn.ModuleList, last: nn.Module) -> None:
    """Let a chain of layers keep its late stages, of few channels and many samples, folded on a TPU.

    `upsamplings` are transposed convolutions, each followed by some of `blocks` and at the end by `last`, with nothing
    in between that looks at the shape of the signal. Parameters, their names and the results stay what they were.
    Nothing is done where a layer is of a kind that a folded signal cannot pass.
    """
    inner = [layer for layer in blocks.modules() if not any(True for _ in layer.children())]
    if all(map(_upsamples, upsamplings)) and all(map(_keeps_length, (*inner, last))):
        _turn(upsamplings, FoldedConvTranspose1d)
        _turn(inner, FoldedConv1d)
        _turn((last,), LastFoldedConv1d)


class FoldedConv1d(nn.Conv1d):
    """A convolution that gives a signal folded as the one it takes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[B, factor * in_channels, T] -> [B, factor * out_channels, T]; a factor of 1 is a plain signal."""
        if not wants_tpu_form(input):
            return super().forward(input)
        convolution = functools.partial(
            folding.conv1d,
            padding=int(self.padding[0]),
            dilation=self.dilation[0],
            factor=_factor(input, self.in_channels),
        )
        return convolved(convolution, input, self.weight, self.bias)


class LastFoldedConv1d(FoldedConv1d):
    """A convolution that gives a plain signal whatever it takes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[B, factor * in_channels, T] -> [B, out_channels, factor * T]."""
        return folding.unfold(super().forward(input), _factor(input, self.in_channels))


class FoldedConvTranspose1d(nn.ConvTranspose1d):
    """A transposed convolution that leaves its result folded where its channels would not fill a TPU's lanes."""

    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """[B, factor * in_channels, T] -> [B, other factor * out_channels, ...]."""
        factor = _factor(input, self.in_channels)
        if not wants_tpu_form(input) or (factor == 1 and self.out_channels >= LANES):
            return super().forward(input, output_size)
        convolution = functools.partial(
            folding.conv_transpose1d, stride=self.stride[0], padding=int(self.padding[0]), factor=factor
        )
        return convolved(convolution, input, self.weight, self.bias)


def _factor(signal: torch.Tensor, channels: int) -> int:
    """How often the channels are there. RuntimeError where they do not go up in the signal's."""
    factor, rest = divmod(signal.shape[1], channels)
    if rest or not factor:
        raise RuntimeError(f"expected {channels} channels or a multiple of them, got {signal.shape[1]}")
    return factor


def _upsamples(layer: nn.Module) -> bool:
    """Whether a layer is a transposed convolution whose result is `stride` times as long as its input."""
    if type(layer) is not nn.ConvTranspose1d:
        return False
    (kernel,), (stride,), padding = layer.kernel_size, layer.stride, int(layer.padding[0])
    plain = layer.groups == 1 and layer.dilation == (1,) and layer.output_padding == (0,)
    return plain and 2 * padding == kernel - stride


def _keeps_length(layer: nn.Module) -> bool:
    """Whether a layer is a convolution whose result is as long as its input."""
    if type(layer) is not nn.Conv1d or layer.groups != 1 or layer.stride != (1,) or layer.padding_mode != "zeros":
        return False
    (kernel,), (dilation,), padding = layer.kernel_size, layer.dilation, layer.padding
    return not isinstance(padding, str) and 2 * int(padding[0]) == dilation * (kernel - 1)


def _turn(layers: Iterable[nn.Module], kind: type[nn.Module]) -> None:
    for layer in layers:
        layer.__class__ = kind
