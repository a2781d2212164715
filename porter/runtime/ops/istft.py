"""The inverse short-time Fourier transform in real arithmetic: torch's own ends the process on XLA."""

import functools

import numpy as np
import torch
import torch.nn.functional as F

from .. import utils
from .forms import wants_device_form
from .host import on_the_host
from .stft import hop_and_width


def istft(
    parts: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
) -> torch.Tensor:
    """`torch.istft` of the spectrum `torch.view_as_complex(parts)`: [..., frequencies, frames, 2] -> [..., samples].

    The XLA form is for spectra of real signals with `center`, windows at least half of which overlap the next, and
    single or double precision; everything else, errors too, is torch's. What torch checks in the values of a window,
    that they do not cancel, the XLA form does not: it would have to wait for them.
    """
    given = (parts, n_fft, hop_length, win_length, window, center, normalized, onesided, length)
    if _has_device_form(*given[:6], onesided, length):
        return _by_products(parts, n_fft, hop_length, win_length, window, normalized, length)
    return on_the_host(_by_torch, *given)


def _by_torch(parts: torch.Tensor, *given: object) -> torch.Tensor:
    return torch.istft(torch.view_as_complex(parts), *given)  # type: ignore[arg-type]


def _has_device_form(
    parts: torch.Tensor,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: torch.Tensor | None,
    center: bool,
    onesided: bool | None,
    length: int | None,
) -> bool:
    if not wants_device_form(parts) or not center or onesided is False or not _is_spectrum(parts, n_fft):
        return False
    hop, width = hop_and_width(n_fft, hop_length, win_length)
    if window is not None and (window.dtype != parts.dtype or tuple(window.shape) != (width,)):
        return False
    most = n_fft - n_fft // 2 + hop * (parts.shape[-2] - 1)
    return 2 <= 2 * hop <= width <= n_fft and 0 < (most if length is None else length) <= most


def _is_spectrum(parts: torch.Tensor, n_fft: int) -> bool:
    """Whether these are spectra of real signals, [..., n_fft // 2 + 1, frames, 2], of more than one frame."""
    if parts.dim() not in (3, 4) or parts.dtype not in (torch.float32, torch.float64) or not parts.numel():
        return False
    return parts.shape[-1] == 2 and parts.shape[-3] == n_fft // 2 + 1 and parts.shape[-2] > 1


def _by_products(
    parts: torch.Tensor,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: torch.Tensor | None,
    normalized: bool,
    length: int | None,
) -> torch.Tensor:
    """Spectra times a table of cosines and sines, windowed, and added where frames overlap."""
    hop, width = hop_and_width(n_fft, hop_length, win_length)
    frequencies, count = parts.shape[-3], parts.shape[-2]
    with utils.autocast(enabled=False):
        rows = parts.reshape(-1, *parts.shape[-3:]).permute(0, 2, 3, 1).reshape(-1, count, 2 * frequencies)
        frames = torch.matmul(rows, _inverse_table(n_fft, parts.device, parts.dtype))
        if normalized:
            frames = frames * n_fft**0.5
        if window is None:
            window = torch.ones(width, dtype=parts.dtype, device=parts.device)
        left = (n_fft - width) // 2
        shape = F.pad(window.to(parts.device), (left, n_fft - width - left))
        signal = _overlapped(frames * shape, hop)
        envelope = _overlapped(shape.square().expand(1, count, n_fft), hop)
        start = n_fft // 2
        end = n_fft + hop * (count - 1) - start if length is None else start + length
        sound = signal[:, start:end] / envelope[:, start:end]
    return sound.reshape(*parts.shape[:-3], sound.shape[-1])


def _overlapped(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """[B, frames, n_fft] -> [B, samples]: each frame added `hop` samples behind the one before, with no scatter."""
    batch, count, width = frames.shape
    rows = -(-width // hop)
    pieces = F.pad(frames, (0, rows * hop - width)).reshape(batch, count, rows, hop)
    total = F.pad(pieces[:, :, 0], (0, 0, 0, rows - 1))
    for row in range(1, rows):
        total = total + F.pad(pieces[:, :, row], (0, 0, row, rows - 1 - row))
    return total.reshape(batch, -1)[:, : width + hop * (count - 1)]


@functools.lru_cache(maxsize=32)
def _inverse_table(n_fft: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """[2 * frequencies, n_fft]: cosines, then negative sines, over n_fft; twice where a frequency stands for two."""
    frequencies = n_fft // 2 + 1
    turns = np.outer(np.arange(frequencies), np.arange(n_fft)) % n_fft
    angles = turns * (2 * np.pi / n_fft)
    times = np.full((frequencies, 1), 2.0)
    times[0] = 1.0
    sines = -np.sin(angles) * times
    sines[0] = 0.0  # what is imaginary there, torch leaves out
    if n_fft % 2 == 0:
        times[-1], sines[-1] = 1.0, 0.0
    table = np.concatenate([np.cos(angles) * times, sines]) / n_fft
    return utils.constant(torch.from_numpy(table), device, dtype)
