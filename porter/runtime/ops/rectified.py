"""A ReLU of which a TPU keeps a byte an element."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from .. import utils
from .forms import wants_tpu_form

_TENSORS = (torch.Tensor, nn.Parameter)  # what is lazily computed, watched or no tensor at all is torch's


def relu(input: torch.Tensor, inplace: bool = False) -> torch.Tensor:
    """`F.relu`; on a TPU, the backward pass keeps where the result is 0, not the result."""
    if inplace or type(input) not in _TENSORS or not input.requires_grad or not wants_tpu_form(input):
        return torch.nn.functional.relu(input, inplace)
    result = torch.relu(input.detach())
    rectified: torch.Tensor = _Rectified.apply(input, result, utils.kept_apart(result <= 0))  # type: ignore[no-untyped-call]
    return rectified


class _Rectified(torch.autograd.Function):
    """A ReLU that was computed before."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, result: torch.Tensor, cut: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cut)
        return result.view_as(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return torch.where(ctx.saved_tensors[0], 0, gradient), None, None
