"""Windows cut out of each sample of a batch at its own place."""

import torch


def slice_segments(
    x: torch.Tensor, starts: torch.Tensor, size: int, *, whole: bool = False, rows_of_samples: bool = False
) -> torch.Tensor:
    """Cut `size` positions out of each sample: x [B, C, T] or [B, T] -> [B, C, size] or [B, size].

    Where T is less than `size` that is T positions; `whole` windows of one position are that one, `size` times.
    With `rows_of_samples` the positions are those of axis 1, whatever follows: x [B, T, ...] -> [B, size, ...].

    starts is int64 [B]: position j of sample b is x[b, ..., starts[b] + j]. A start is at least 0 and at most
    T - size: beyond that the CPU raises IndexError, and XLA, which cannot, repeats the last position. Where T is less
    than `size` a negative start is what it is for a slice that is written to a row of T.
    """
    if whole and x.shape[-1] == 1:
        x = x.expand(*x.shape[:-1], size)
    length = size if whole else x.shape[1 if rows_of_samples else -1]
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    starts = starts.to(x.device).unsqueeze(1)
    columns = (
        starts + torch.arange(size, device=x.device) if size <= length else _columns_of_slices(starts, size, length)
    )
    if x.dim() == 2 or rows_of_samples:
        return x[rows, columns]
    # Reads whole columns of channels: faster on XLA than a gather of single values. In the layout of a copied window,
    # since the CPU's convolutions round differently in another.
    return x[rows, :, columns].transpose(1, 2).clone(memory_format=torch.contiguous_format)


def _columns_of_slices(starts: torch.Tensor, size: int, length: int) -> torch.Tensor:
    """The positions of `x[start : start + size]` in rows [B, length] that are shorter than `size`: [B, length].

    A slice of one position fills the row; any other length but the row's has no place there, so it is out of bounds.
    """
    first, last = (torch.where(end < 0, end + length, end).clamp(0, length) for end in (starts, starts + size))
    count = last - first
    steps = torch.arange(length, device=starts.device)
    return torch.where(count == length, steps, torch.where(count == 1, first, length))
