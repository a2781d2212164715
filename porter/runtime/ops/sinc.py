"""`torch.sinc`, which XLA has no lowering for."""

import math

import torch

from .forms import wants_device_form


def sinc(input: torch.Tensor) -> torch.Tensor:
    """sin(pi x) / (pi x) of each number, and 1 at 0."""
    if not isinstance(input, torch.Tensor) or not input.is_floating_point() or not wants_device_form(input):
        return torch.sinc(input)
    zero = input == 0
    angle = math.pi * torch.where(zero, 1.0, input)
    return torch.where(zero, 1.0, torch.sin(angle) / angle)
