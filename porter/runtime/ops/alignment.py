"""Monotonic alignment search on the device: which frame belongs to which token, with no copy to the host."""

from collections.abc import Callable

import torch

from .forms import wants_device_form

_NEVER = -1e9  # what a step costs that would leave the band

Step = Callable[[torch.Tensor, tuple[torch.Tensor, ...]], tuple[torch.Tensor, torch.Tensor]]


def maximum_path(value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The monotonic path of greatest sum through each sample's scores, as ones; [b, frames, tokens], `value`'s dtype.

    `mask` is one where a frame and a token of a sample are, from the first of each; a sample has as many frames and
    tokens as its first column and row. Sums are float32, ties go to the later token, and no gradient flows, as in the
    search on the host that VITS has.
    """
    with torch.no_grad():
        scores = value.detach().float()
        frames = mask.sum(1)[:, 0].to(torch.int32)
        tokens = mask.sum(2)[:, 0].to(torch.int32)
        return _search(scores, frames[:, None], tokens[:, None]).to(value.dtype)


def _search(scores: torch.Tensor, frames: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The path through `scores` [b, t, s] with lengths [b, 1]."""
    b, t, s = scores.shape
    x = torch.arange(s, device=scores.device)
    y = torch.arange(t, device=scores.device)
    # Within the band both ends can still be reached; outside scores stay what they are.
    low, high = (
        (tokens[..., None] - frames[..., None] + y[:, None]).clamp(min=0),
        torch.minimum(tokens[..., None], y[:, None] + 1),
    )
    band = (x >= low) & (x < high) & (y[:, None] < frames[..., None])
    newest = (x == y[:, None]).expand(b, t, s)
    first = torch.where(y == 0, 0.0, _NEVER)[:, None, None].expand(t, b, 1)
    rows = (scores.transpose(0, 1), band.transpose(0, 1), newest.transpose(0, 1), first)
    sums = _scan(_add_row, scores.new_zeros(b, s), rows).transpose(0, 1)

    # Whether the path comes from the token before, seen from each cell; the first frame has none above it.
    above = torch.cat([sums.new_zeros(b, 1, s), sums[:, :-1]], 1)
    before = torch.cat([above.new_zeros(b, t, 1), above[..., :-1]], 2)
    moves = (x > 0) & (newest | (above < before))
    there = y < frames
    last = (x == tokens - 1).float()
    back = (moves.float().transpose(0, 1).flip(0), there.float().transpose(0, 1)[..., None].flip(0))
    return _scan(_go_back, last, back).flip(0).transpose(0, 1)


def _add_row(above: torch.Tensor, row: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The sums of one frame [b, s], given those of the frame above it."""
    score, inside, on_edge, start = row
    stay = torch.where(on_edge, _NEVER, above)
    move = torch.cat([start, above[:, :-1]], 1)
    summed = torch.where(inside, score + torch.maximum(move, stay), score)
    return summed, summed + 0  # a scan wants another tensor than the one that it hands on


def _go_back(at: torch.Tensor, row: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The token of the frame above as ones and zeros [b, s], and that of this frame."""
    move, active = row
    moved = (at * move).sum(1, keepdim=True) * active
    before = torch.cat([at[:, 1:], torch.zeros_like(at[:, :1])], 1)
    return at * (1 - moved) + before * moved, at * active


def _scan(step: Step, start: torch.Tensor, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """What `step` gives for each row [b, ...] of `rows` [t, b, ...], handing on what it keeps, stacked."""
    if wants_device_form(start) and start.device.type == "xla":
        try:
            from torch_xla.experimental.scan import scan
        except ImportError:  # older torch_xla: the loop is written out in the graph
            pass
        else:
            return scan(step, start, rows, is_fn_pure=True)[1]
    kept, made = start, []
    for row in zip(*rows, strict=True):
        kept, one = step(kept, row)
        made.append(one)
    return torch.stack(made) if made else rows[0].new_zeros(rows[0].shape)
