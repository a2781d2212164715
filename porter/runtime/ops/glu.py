"""Gated linear units from operations that lower: XLA has no backward of torch's kernel."""

import torch
import torch.nn.functional as F
from torch import nn

from .forms import wants_device_form
from .host import on_the_host
from .stand_in import StandIn


def glu(input: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """`F.glu`: the first half of `input` along `dim` times the sigmoid of the second; errors are torch's."""
    if not _plain(input, dim) or not wants_device_form(input):
        return on_the_host(F.glu, input, dim)
    half = input.shape[dim] // 2
    # In float32 at least and rounded once, as in torch's kernel.
    wide = input.to(torch.promote_types(input.dtype, torch.float32))
    return (wide.narrow(dim, 0, half) * wide.narrow(dim, half, half).sigmoid()).to(input.dtype)


def _plain(input: torch.Tensor, dim: int) -> bool:
    """Whether torch takes these."""
    if not isinstance(input, torch.Tensor) or not isinstance(dim, int):
        return False
    return input.is_floating_point() and -input.dim() <= dim < input.dim() and input.shape[dim] % 2 == 0


class GLU(nn.GLU, metaclass=StandIn):
    """`nn.GLU` over `glu`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Halve `input` along `self.dim`."""
        return glu(input, self.dim)
