"""Convolutions along time over the columns of a period, of few channels, in a layout that fills a TPU's lanes."""

import torch
import torch.nn.functional as F
from torch import nn

from . import folding, twins
from .forms import LANES, wants_tpu_form


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` with the same parameters and results; on a TPU a kernel of one column may work on folded time."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if input.dim() == 4 and self._along_time() and wants_tpu_form(input):
            found = self._folded(input, weight, bias)
            if found is not None:
                return found
        plain: torch.Tensor = super()._conv_forward(input, weight, bias)
        return plain

    def _along_time(self) -> bool:
        """Whether every column is convolved alone."""
        if self.padding_mode != "zeros" or isinstance(self.padding, str) or self.groups != 1:
            return False
        return (self.kernel_size[1], self.stride[1], self.padding[1]) == (1, 1, 0)

    def _folded(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor | None:
        """The result by way of a folded signal; None where there is none, and folding would not pay."""
        stride, padding, dilation = self.stride[0], int(self.padding[0]), self.dilation[0]
        count = (input.shape[2] + 2 * padding - dilation * (weight.shape[2] - 1) - 1) // stride + 1
        if count < 1 or input.shape[1] != weight.shape[1]:
            return None
        twin = twins.folded(input)
        if twin is not None and twin.factor % stride == 0:
            signal, factor = twin.signal, twin.factor // stride
        elif input.shape[1] == 1 and stride * self.out_channels <= LANES:
            # The next layer most likely has the same stride: then it takes this result as it is.
            factor = stride * (LANES // (stride * self.out_channels))
            signal = folding.fold(F.pad(input, (0, 0, 0, -input.shape[2] % (stride * factor))), stride * factor)
        else:
            return None
        blocks = -(-count // factor)
        signal = F.pad(signal, (0, 0, 0, max(0, blocks - signal.shape[2])))
        found = folding.conv1d(
            signal, weight.squeeze(-1), bias, stride=stride, padding=padding, dilation=dilation, factor=factor
        )[:, :, :blocks]
        if factor == 1:
            return found
        if count % factor:  # the next layer's padding: zeros
            found = found * _valid(found, count, factor)
        return twins.unfolded(found, factor, count)


def _valid(folded: torch.Tensor, time: int, factor: int) -> torch.Tensor:
    """[1, factor * C, T / factor, 1]: one for the first `time` samples, zero for those after them."""
    valid = folded.new_ones(1, folded.shape[1] // factor, time, 1)
    return folding.fold(F.pad(valid, (0, 0, 0, folded.shape[2] * factor - time)), factor)
