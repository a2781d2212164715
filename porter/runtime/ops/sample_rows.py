"""Random rows for the masked places of a table, without counting those places on the host."""

import torch

from .forms import wants_device_form


def sample_rows(samples: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A table [K, D] whose masked rows (bool [K]) are drawn from samples [N, D], the others arbitrary.

    With n masked rows, the draw is the one of `samples[randperm(N)[:n]]` if N >= n, else that of
    `samples[randint(0, N, (n,))]`, handed out in order. On XLA, where n is not known, a table with N < K
    costs both.
    """
    count, places = samples.shape[0], mask.shape[0]
    rank = mask.long().cumsum(0).sub(1).clamp(min=0)
    if count >= places:
        return samples[_distinct(count, rank)]
    if wants_device_form(samples, mask):
        repeated = torch.randint(0, count, (places,), device=samples.device)[rank]
        few = mask.sum() <= count
        return samples[torch.where(few, _distinct(count, rank), repeated)]
    wanted = int(mask.sum())
    if wanted <= count:
        return samples[_distinct(count, rank)]
    return samples[torch.randint(0, count, (wanted,), device=samples.device)[rank]]


def _distinct(count: int, rank: torch.Tensor) -> torch.Tensor:
    return torch.randperm(count, device=rank.device)[rank.clamp(max=count - 1)]
