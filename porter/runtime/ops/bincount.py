"""Counts of small integers with a result of a fixed size."""

import torch

from .forms import wants_device_form


def bincount(input: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> torch.Tensor:
    """How often each class occurs in `input`, integers [N]: int64 [classes], or the sums of `weights` [N].

    On the CPU this is `torch.bincount`, whose result grows with the largest value. On XLA a shape cannot
    depend on values: `minlength` has to be the number of classes (ValueError if it is 0), and values outside
    it are not counted.
    """
    if not wants_device_form(input):
        return torch.bincount(input, weights, minlength)
    if minlength < 1:
        raise ValueError("bincount on XLA needs minlength, the number of classes")
    if input.dim() != 1:
        raise RuntimeError(f"bincount: expected a vector, got shape {tuple(input.shape)}")
    hits = input.unsqueeze(1) == torch.arange(minlength, device=input.device)
    if weights is None:
        return hits.sum(0)
    # The dtypes that torch.bincount gives.
    wide = weights.dtype if weights.dtype == torch.float32 else torch.float64
    return (hits * weights.to(wide).unsqueeze(1)).sum(0)
