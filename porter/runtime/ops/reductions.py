"""Reductions along axes of which there may be none: all of them to PyTorch, and none to PyTorch/XLA.

Each is torch's function of its name, with its arguments; `dim` is one axis, or any number of them, () for all.
"""

from typing import Any

import torch

from .forms import wants_device_form

Axes = int | tuple[int, ...] | list[int]


def amax(input: torch.Tensor, dim: Axes = (), keepdim: bool = False) -> torch.Tensor:
    """`torch.amax`: the largest number along the axes `dim`, () for all; with `keepdim` they stay, 1 long."""
    return torch.amax(input, _axes(input, dim), keepdim)


def amin(input: torch.Tensor, dim: Axes = (), keepdim: bool = False) -> torch.Tensor:
    """`torch.amin`: the smallest number, as `amax`."""
    return torch.amin(input, _axes(input, dim), keepdim)


def sum(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> torch.Tensor:
    """`torch.sum` along the axes `dim`, () for all."""
    return torch.sum(input, _axes(input, dim), *options, **named)


def mean(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> torch.Tensor:
    """`torch.mean` along the axes `dim`, () for all."""
    return torch.mean(input, _axes(input, dim), *options, **named)


def nanmean(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> torch.Tensor:
    """`torch.nanmean` along the axes `dim`, () for all."""
    return torch.nanmean(input, _axes(input, dim), *options, **named)


def std(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> torch.Tensor:
    """`torch.std` along the axes `dim`, () for all."""
    return torch.std(input, _axes(input, dim), *options, **named)


def var(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> torch.Tensor:
    """`torch.var` along the axes `dim`, () for all."""
    return torch.var(input, _axes(input, dim), *options, **named)


def std_mean(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """`torch.std_mean` along the axes `dim`, () for all."""
    return torch.std_mean(input, _axes(input, dim), *options, **named)


def var_mean(input: torch.Tensor, dim: Axes = (), *options: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """`torch.var_mean` along the axes `dim`, () for all."""
    return torch.var_mean(input, _axes(input, dim), *options, **named)


def vector_norm(input: torch.Tensor, ord: float, dim: Axes, *options: Any, **named: Any) -> torch.Tensor:
    """`torch.linalg.vector_norm` of order `ord` along the axes `dim`, () for all."""
    norm: torch.Tensor = torch.linalg.vector_norm(input, ord, _axes(input, dim), *options, **named)
    return norm


def _axes(input: torch.Tensor, dim: Axes) -> Axes:
    """`dim`, and all axes by name in place of none where the device needs that."""
    every = isinstance(dim, (tuple, list)) and not dim and isinstance(input, torch.Tensor)
    return tuple(range(input.dim())) if every and wants_device_form(input) else dim
