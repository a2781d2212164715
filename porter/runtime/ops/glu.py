"""Gated linear units from operations that lower: XLA has no backward of torch's kernel."""

import torch
import torch.nn.functional as F
from torch import nn

from .forms import wants_device_form


def glu(input: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """First half of `input` along `dim` times the sigmoid of the second. RuntimeError if that axis is odd."""
    if not wants_device_form(input):
        return F.glu(input, dim)
    if input.shape[dim] % 2:
        raise RuntimeError(f"glu: an axis of {input.shape[dim]} cannot be halved")
    value, gate = input.chunk(2, dim)
    return value * gate.sigmoid()


class GLU(nn.GLU):
    """`nn.GLU` over `glu`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Halve `input` along `self.dim`."""
        return glu(input, self.dim)
