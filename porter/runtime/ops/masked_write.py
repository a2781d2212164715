"""Boolean-mask assignment of a fixed shape: no list of the true positions is ever made."""

import torch


def masked_write_(target: torch.Tensor, mask: torch.Tensor, value: float | torch.Tensor) -> torch.Tensor:
    """In place: `target[mask] = value`. -> target.

    mask is bool with target's shape, or with its leading axes. value is a number, a 0-dim tensor, or a tensor
    of target's shape (or one that broadcasts to it) which holds each new value at its own place.
    """
    mask = mask.reshape(*mask.shape, *[1] * (target.dim() - mask.dim()))
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        return target.masked_fill_(mask, value)
    return target.copy_(torch.where(mask, value.to(target.dtype), target))
