"""Counts of small integers with a result of a fixed size."""

import torch

from .forms import wants_device_form
from .host import on_the_host

_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def bincount(input: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> torch.Tensor:
    """`torch.bincount` of labels below `minlength`: int64 [minlength], or the sums of `weights` [N] for each label.

    To torch, `minlength` is a least length: a larger label makes the result longer. On XLA a shape cannot follow
    values, and this counts the labels 0 to minlength - 1. It is for labels [N] that are known to be no others, which
    the rule that puts it there proves. Whatever torch turns down, and weights with a gradient, go to torch.
    """
    if not _plain(input, weights, minlength) or not wants_device_form(input):
        return on_the_host(torch.bincount, input, weights, minlength)
    hits = input.unsqueeze(1) == torch.arange(minlength, device=input.device)
    if weights is None or not len(input):  # of no labels torch gives integers, with weights too
        return hits.sum(0)
    # The dtypes that torch.bincount gives.
    wide = weights.to(torch.float32 if weights.dtype == torch.float32 else torch.float64)
    return torch.where(hits, wide.unsqueeze(1), 0).sum(0)


def _plain(input: torch.Tensor, weights: torch.Tensor | None, minlength: int) -> bool:
    if not isinstance(input, torch.Tensor) or not isinstance(weights, (torch.Tensor, type(None))):
        return False
    if input.dim() != 1 or input.dtype not in _DTYPES or not isinstance(minlength, int) or minlength < 1:
        return False
    return weights is None or (weights.shape == input.shape and not weights.requires_grad and not weights.is_complex())
