"""`torch.amax` and `torch.amin` of all axes, which reduce nothing on XLA where no axis is named."""

import torch

Axes = int | tuple[int, ...] | list[int]


def amax(input: torch.Tensor, dim: Axes = (), keepdim: bool = False) -> torch.Tensor:
    """`torch.amax`: the largest number along the axes `dim`, () for all; with `keepdim` they stay, 1 long."""
    return torch.amax(input, _axes(input, dim), keepdim)


def amin(input: torch.Tensor, dim: Axes = (), keepdim: bool = False) -> torch.Tensor:
    """`torch.amin`: the smallest number, as `amax`."""
    return torch.amin(input, _axes(input, dim), keepdim)


def _axes(input: torch.Tensor, dim: Axes) -> Axes:
    every = isinstance(dim, (tuple, list)) and not dim and isinstance(input, torch.Tensor)
    return tuple(range(input.dim())) if every else dim
