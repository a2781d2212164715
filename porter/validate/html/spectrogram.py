"""Spectrograms: what is in a sound, by time and frequency."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from porter.validate.html.media import Pixels
from porter.validate.sound import Wave

Levels = npt.NDArray[np.float64]

_WINDOW = 512  # samples
_ROWS = 128
_MOST_COLUMNS = 320
_LEAST_HOP = 16  # samples
_COLOURS = 64  # fewer than the eye tells apart make a small file
SILENCE = -400.0  # dB, for what is nothing

# Dark to bright, even to the eye: the corners of matplotlib's magma and viridis, which have no rights reserved.
_MAGMA = ((0, 0, 4), (40, 17, 89), (114, 31, 129), (182, 54, 121), (241, 96, 93), (254, 175, 119), (252, 253, 191))
_VIRIDIS = ((68, 1, 84), (68, 57, 131), (49, 104, 142), (33, 145, 140), (53, 183, 121), (143, 215, 68), (253, 231, 37))


def spectrogram(samples: Wave) -> Levels:
    """Levels in dB, (128 frequencies, from none to half the sampling rate; times): the loudest of each field.

    A sine of amplitude 1 has 0 dB.
    """
    hop = max(_LEAST_HOP, -(-samples.size // _MOST_COLUMNS))
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: max(1, samples.size) : hop]
    window = np.hanning(_WINDOW)
    magnitudes = np.abs(np.fft.rfft(frames * window, axis=1))[:, 1:] * (2 / window.sum())
    fields = magnitudes.reshape(len(frames), _ROWS, -1).max(axis=2).T
    levels: Levels = 20 * np.log10(np.maximum(fields, 10 ** (SILENCE / 20)))
    return levels


def shades(levels: Levels, low: float, high: float) -> Pixels:
    """Levels from `low` to `high` dB as indices into a palette, high frequencies in the first row."""
    part = np.clip((levels - low) / (high - low), 0, 1)
    return np.round(part[::-1] * (_COLOURS - 1)).astype(np.uint8)


def palette(name: str) -> Pixels:
    """Colours (64, 3) of `magma` or `viridis`."""
    corners = np.array(_MAGMA if name == "magma" else _VIRIDIS, np.float64)
    at = np.linspace(0, len(corners) - 1, _COLOURS)
    mixed = [np.interp(at, np.arange(len(corners)), corners[:, channel]) for channel in range(3)]
    return np.round(np.stack(mixed, axis=1)).astype(np.uint8)
