"""Boolean-mask assignment of a fixed shape: no list of the true positions is ever made."""

from typing import TypeGuard

import torch

from .host import on_the_host


def masked_write_(target: torch.Tensor, mask: torch.Tensor, value: float | torch.Tensor) -> torch.Tensor:
    """In place: `target[mask] = value`. -> target.

    mask is bool with target's shape, or with its leading axes. value is a number, a 0-dim tensor, or a tensor of
    target's shape and dtype which holds each new value at its own place: then it is `target[mask] = value[mask]`.
    Anything else is left to torch, on the host; it is what torch raises for.
    """
    fits = mask.dtype is torch.bool and mask.shape == target.shape[: mask.dim()]
    places = mask.reshape([*mask.shape, *[1] * (target.dim() - mask.dim())])
    if _has_places(value):
        if fits and value.shape == target.shape and value.dtype == target.dtype:
            return target.copy_(torch.where(places, value, target))
    elif fits and (mask.dim() or not isinstance(value, torch.Tensor) or value.dtype == target.dtype):
        return fill_under_(target, places, value)
    return target.copy_(on_the_host(_written, target, mask, value))


def fill_under_(target: torch.Tensor, mask: torch.Tensor, value: float | torch.Tensor) -> torch.Tensor:
    """In place: a number or 0-dim tensor where mask, which broadcasts to target, is true. -> target.

    RuntimeError if it is a number that the target's dtype has not: XLA would take it.
    """
    if not isinstance(value, torch.Tensor):
        torch.zeros((), dtype=target.dtype).fill_(value)
    return target.masked_fill_(mask, value)


def _written(target: torch.Tensor, mask: torch.Tensor, value: float | torch.Tensor) -> torch.Tensor:
    result = target.clone()
    result[mask] = value[mask] if _has_places(value) else value
    return result


def _has_places(value: float | torch.Tensor) -> TypeGuard[torch.Tensor]:
    """Whether a value has an element for each place."""
    return isinstance(value, torch.Tensor) and value.dim() > 0
