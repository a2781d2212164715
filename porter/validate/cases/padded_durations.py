"""Texts to sound with predicted durations, as VITS infers: the network's own method against the runtime's buckets.

GPT-SoVITS has no such network: it is the judge's own, small, with what its relatives do between text and sound.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.budget import Allowance
from porter.validate.cases.base import Batch, Case, Subjects, lengths
from porter.validate.cases.operations import TORCHS, runtime_module
from porter.validate.cases.shapes import judges_own
from porter.validate.settings import Settings

_SYMBOLS, _SPEAKERS = 20, 3
_SCALE = 1.6  # of durations
_LIMITS = (None, 7, 10_000)  # frames that become sound: all, fewer than there are, more than there are


class _Decoder(nn.Module):
    """Convolutions that look beyond their place, at three rates.

    `whole`: what it makes depends on the whole length as well, as that of a decoder of spectra does.
    """

    def __init__(self, width: int, whole: bool) -> None:
        super().__init__()
        if whole:
            self.istft_size = 4
        self.pre = nn.Conv1d(width, width, 7, padding=3)
        self.up = nn.ConvTranspose1d(width, width // 2, 8, 4, 2)
        self.block = nn.Conv1d(width // 2, width // 2, 3, padding=3, dilation=3)
        self.post = nn.Conv1d(width // 2, 1, 7, padding=3)

    def forward(self, z: Tensor) -> Tensor:
        """[B, C, frames] -> [B, 1, 4 * frames]."""
        x = torch.relu(self.up(torch.relu(self.pre(z))))
        sound = torch.tanh(self.post(x + self.block(x)))
        return sound - sound.mean(-1, keepdim=True) if hasattr(self, "istft_size") else sound


def durations(ops: Any) -> type[nn.Module]:
    """A network that reads how many frames its durations make."""

    class Speaker(nn.Module):
        """Durations of symbols are drawn, and noise of the frames that they make, along time and across."""

        operations = ops

        def __init__(self, width: int, whole: bool) -> None:
            super().__init__()
            self.symbols = nn.Embedding(_SYMBOLS, width)
            self.speakers = nn.Embedding(_SPEAKERS, width)
            self.enc = nn.Conv1d(width, width, 1)
            self.dec = _Decoder(width, whole)

        def infer(
            self, x: Tensor, x_lengths: Tensor, sid: Tensor, scale: float = 1.0, *, max_len: int | None = None
        ) -> Any:
            """(B, T), (B), (B) -> sound (B, 1, samples), alignment (B, 1, frames, T), mask (B, 1, frames), latents."""
            x_mask = self._mask(x_lengths, x.size(1))
            h = self.enc(self.symbols(x).transpose(1, 2) + self.speakers(sid).unsqueeze(-1)) * x_mask
            drawn = torch.randn(x.size(0), 1, x.size(1), device=x.device) + torch.randn(
                (x.size(0), 1, x.size(1)), dtype=h.dtype, device=x.device
            )
            w = torch.ceil(torch.exp(0.3 * drawn) * x_mask * scale)
            frames = torch.clamp_min(torch.sum(w, [1, 2]), 1).long()
            y_mask = self._mask(frames, ops.static_max(frames))
            ends = torch.cumsum(w, -1).transpose(1, 2)
            place = torch.arange(y_mask.size(2), device=x.device)
            inside = (place < ends) & (place >= ends - w.transpose(1, 2))
            path = inside.to(h.dtype).transpose(1, 2) * y_mask.transpose(1, 2)
            mean = torch.matmul(path, h.transpose(1, 2)).transpose(1, 2)
            noise = torch.randn_like(mean) + torch.randn_like(mean.contiguous())
            z = (mean + noise) * y_mask
            return self.dec((z * y_mask)[:, :, :max_len]), path.unsqueeze(1), y_mask, (z, mean)

        def _mask(self, ends: Tensor, most: int) -> Tensor:
            return (torch.arange(most, device=ends.device) < ends[:, None]).unsqueeze(1).float()

    return Speaker


def _texts(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    count, longest = settings.batch, settings.phonemes
    return {
        "x": torch.randint(_SYMBOLS, (count, longest), generator=generator),
        "x_lengths": lengths(count, max(1, longest // 2), longest, generator),
        "sid": torch.randint(_SPEAKERS, (count,), generator=generator),
    }


@torch.no_grad()
def _infer(model: Any, given: Batch) -> object:
    if model.operations is TORCHS:
        return [model.infer(**given, scale=_SCALE, max_len=limit) for limit in _LIMITS]
    padding = runtime_module(model.operations, "decoding.durations")
    host = {name: value.cpu() for name, value in given.items()}
    return [padding.infer(model, **host, scale=_SCALE, max_len=limit) for limit in _LIMITS]


def _allowance(model: Subjects) -> Allowance:
    # For each limit one length is read and decides on the bucket; texts go to the device, results come from it.
    calls = 2 * len(_LIMITS)
    return Allowance(fetched=6 * calls, sent=12 * calls, sized=calls)


CASES = (
    Case(
        "speak.durations",
        (
            judges_own(durations, "durations", _texts, call=_infer, width=6, whole=False),
            judges_own(durations, "durations, of spectra", _texts, call=_infer, width=6, whole=True),
        ),
        training=False,
        gradients=False,
        allowance=_allowance,
    ),
)
