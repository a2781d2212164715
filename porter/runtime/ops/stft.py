"""The short-time Fourier transform in real arithmetic: XLA lowers no FFT with its gradient."""

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import utils
from .forms import wants_device_form
from .host import on_the_host

_by_torch = functools.partial(torch.stft, return_complex=True)


def stft(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> torch.Tensor:
    """`torch.stft` of [T] or [B, T]: [..., frequencies, frames], complex, or real with both parts as a last axis.

    The XLA form is for real signals and `return_complex=False`; everything else, errors too, is torch's.
    """
    given = (input, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided)
    dtype = None if return_complex is not False or align_to_window is not None else _dtype(*given[:5], center)
    if dtype is not None:
        return _by_products(*given, dtype)
    # Not in every version of torch.
    more: dict[str, Any] = {} if align_to_window is None else {"align_to_window": align_to_window}
    return on_the_host(functools.partial(torch.stft, return_complex=return_complex, **more), *given)


def stft_as_real(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
) -> torch.Tensor:
    """`torch.view_as_real(torch.stft(..., return_complex=True))`."""
    given = (input, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided)
    dtype = _dtype(*given[:5], center)
    if dtype is not None:
        return _by_products(*given, dtype)
    return on_the_host(lambda *g: torch.view_as_real(_by_torch(*g)), *given)


def stft_magnitude(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
) -> torch.Tensor:
    """`torch.stft(..., return_complex=True).abs()`: [..., frequencies, frames]; its gradient at 0 is 0."""
    given = (input, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided)
    dtype = _dtype(*given[:5], center)
    if dtype is None:
        return on_the_host(lambda *g: _by_torch(*g).abs(), *given)
    power = _by_products(*given, dtype).square().sum(-1)
    silent = power == 0
    # The root's slope at 0 is infinite: keep 0 out of it, in the backward pass too.
    return torch.where(silent, torch.ones_like(power), power).sqrt().masked_fill(silent, 0.0)


def _dtype(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: torch.Tensor | None,
    center: bool,
) -> torch.dtype | None:
    """In what dtype the XLA form computes a transform; None where torch's own is to be taken, or to raise."""
    if not wants_device_form(input) or input.dim() not in (1, 2) or not input.numel():
        return None
    hop, width = hop_and_width(n_fft, hop_length, win_length)
    samples = input.shape[-1] + (n_fft // 2 * 2 if center else 0)
    if hop < 1 or not 0 < width <= n_fft <= samples or (window is not None and tuple(window.shape) != (width,)):
        return None
    return _computed_in(input, window)


def _computed_in(input: torch.Tensor, window: torch.Tensor | None) -> torch.dtype | None:
    """In what dtype torch multiplies a signal by a window; None where that has no XLA form."""
    dtype = input.dtype if window is None else torch.promote_types(input.dtype, window.dtype)
    if torch.is_autocast_enabled(input.device.type) and dtype in (torch.float16, torch.bfloat16):
        dtype = torch.float32  # as torch's autocast has it
    return dtype if input.is_floating_point() and dtype in (torch.float32, torch.float64) else None


def _by_products(
    input: torch.Tensor,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: torch.Tensor | None,
    center: bool,
    pad_mode: str,
    normalized: bool,
    onesided: bool | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Windowed frames times a table of cosines and sines."""
    hop, width = hop_and_width(n_fft, hop_length, win_length)
    # In half precision the products would not be worth having; torch's autocast keeps stft in float32 as
    # well.
    with utils.autocast(enabled=False):
        signal = input.to(dtype)
        batch = signal.reshape(-1, signal.shape[-1])
        if center:
            batch = F.pad(batch.unsqueeze(1), (n_fft // 2, n_fft // 2), mode=pad_mode).squeeze(1)
        frames = _frames(batch, n_fft, hop)
        shape = _window(window, width, n_fft, frames)
        if shape is not None:
            frames = frames * shape
        frequencies = n_fft if onesided is False else n_fft // 2 + 1
        table = _dft_table(n_fft, frequencies, signal.device, signal.dtype)
        parts = torch.matmul(frames, table)
        if normalized:
            parts = parts * n_fft**-0.5
    parts = parts.reshape(*parts.shape[:-1], 2, frequencies).permute(0, 3, 1, 2)
    return parts.reshape(*input.shape[:-1], *parts.shape[1:])


def hop_and_width(n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    """How far frames are apart, and how many samples a window has, where torch has defaults for both."""
    return n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length


def _frames(batch: torch.Tensor, n_fft: int, hop: int) -> torch.Tensor:
    """[B, T] -> [B, frames, n_fft], from shifted rows of hop-sized blocks: no gather."""
    count = 1 + (batch.shape[-1] - n_fft) // hop
    rows = -(-n_fft // hop)
    blocks = count - 1 + rows
    missing = blocks * hop - batch.shape[-1]
    batch = F.pad(batch, (0, missing)) if missing > 0 else batch[:, : blocks * hop]
    grid = batch.reshape(batch.shape[0], blocks, hop)
    return torch.cat([grid[:, row : row + count] for row in range(rows)], -1)[..., :n_fft]


def _window(window: torch.Tensor | None, width: int, n_fft: int, frames: torch.Tensor) -> torch.Tensor | None:
    """The window in the middle of a frame [n_fft]; None where it would change nothing."""
    if window is None:
        if width == n_fft:
            return None
        window = torch.ones(width, dtype=frames.dtype, device=frames.device)
    left = (n_fft - width) // 2
    return F.pad(window.to(frames.device, frames.dtype), (left, n_fft - width - left))


@functools.lru_cache(maxsize=32)
def _dft_table(n_fft: int, frequencies: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """[n_fft, 2 * frequencies]: cosines, then negative sines; in float64, from angles inside one turn."""
    turns = np.outer(np.arange(n_fft), np.arange(frequencies)) % n_fft
    angles = turns * (2 * np.pi / n_fft)
    table = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
    return utils.constant(torch.from_numpy(table), device, dtype)
