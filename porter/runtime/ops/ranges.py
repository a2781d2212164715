"""Per-sample ranges start[b]:end[b] of the last axis, as masks of a fixed shape instead of loops.

A range is Python's: an end beyond the axis is the axis's end, an end before the start makes it empty, and a bound
below 0 counts from the axis's end. Both bounds are an int or an integer tensor [B].
"""

import torch
import torch.nn.functional as F

from .masked_write import fill_under_

Bound = int | torch.Tensor


def range_mask(length: int, start: Bound, end: Bound, device: torch.device | str | None = None) -> torch.Tensor:
    """Which of `length` positions are in the ranges: bool [B, length]; [1, length] if the bounds are ints."""
    if device is None:
        device = next((bound.device for bound in (start, end) if isinstance(bound, torch.Tensor)), None)
    place = torch.arange(length, device=device).unsqueeze(0)
    return (place >= _column(start, place, length)) & (place < _column(end, place, length))


def fill_ranges_(target: torch.Tensor, value: float | torch.Tensor, start: Bound, end: Bound) -> torch.Tensor:
    """In place: target[b, ..., start[b]:end[b]] = value, a number or 0-dim tensor, every b. -> target."""
    return fill_under_(target, _mask_for(target, start, end), value)


def copy_ranges_(target: torch.Tensor, source: torch.Tensor, start: Bound, end: Bound) -> torch.Tensor:
    """In place: target[b, ..., start[b]:end[b]] = source[b, ..., start[b]:end[b]], every b. -> target.

    Target [B, ..., T]; source has the same shape, or another length of its last axis that every range fits
    in.
    """
    surplus = target.shape[-1] - source.shape[-1]
    if surplus:
        source = F.pad(source, (0, surplus))
    mask = _mask_for(target, start, end)
    return target.copy_(torch.where(mask, source.to(target.dtype), target))


def ranges_mse(prediction: torch.Tensor, target: torch.Tensor, start: Bound, end: Bound) -> torch.Tensor:
    """Mean squared error of each sample over its range: [B, ..., T] twice -> [B]; nan for an empty range.

    The mean is over all values of the range, channels included, taken in float32 at least. The dtype is that of
    `F.mse_loss`.
    """
    error, count = _range_errors(prediction, target, start, end)
    return (error.square().flatten(1).sum(1) / count).to(_loss_dtype(prediction, target))


def ranges_l1(prediction: torch.Tensor, target: torch.Tensor, start: Bound, end: Bound) -> torch.Tensor:
    """Mean absolute error of each sample over its range; see `ranges_mse`."""
    error, count = _range_errors(prediction, target, start, end)
    return (error.abs().flatten(1).sum(1) / count).to(_loss_dtype(prediction, target))


def _column(bound: Bound, like: torch.Tensor, length: int) -> Bound:
    if not isinstance(bound, torch.Tensor):
        return bound + length if bound < 0 else bound
    bound = bound.to(like.device).reshape(-1, 1)
    return torch.where(bound < 0, bound + length, bound)


def _mask_for(target: torch.Tensor, start: Bound, end: Bound) -> torch.Tensor:
    """The mask in a shape that broadcasts over target [B, ..., T]."""
    mask = range_mask(target.shape[-1], start, end, target.device)
    return mask.reshape(mask.shape[0], *[1] * (target.dim() - 2), mask.shape[1])


def _loss_dtype(prediction: torch.Tensor, target: torch.Tensor) -> torch.dtype:
    """The dtype that torch gives a loss of the two; under autocast, float32 at least."""
    dtype = torch.promote_types(prediction.dtype, target.dtype)
    return torch.promote_types(dtype, torch.float32) if torch.is_autocast_enabled(prediction.device.type) else dtype


def _range_errors(
    prediction: torch.Tensor, target: torch.Tensor, start: Bound, end: Bound
) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences, 0 outside the ranges, and how many values each sample's range holds [B]."""
    wide = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    difference = prediction.to(wide) - target.to(wide)
    mask = _mask_for(difference, start, end)
    error = torch.where(mask, difference, torch.zeros_like(difference))
    return error, mask.expand_as(difference).flatten(1).sum(1)
