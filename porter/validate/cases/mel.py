"""mel_processing.py, with the gradients that upstream's trainers take through it."""

from __future__ import annotations

from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.settings import Settings

_RATE = 32000
_MELS = 40


def _audio(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """(batch, samples) of audio between -1 and 1, silent from each sample's random end on."""
    samples = torch.rand(settings.batch, settings.samples, generator=generator) * 2 - 1
    ends = torch.randint(settings.samples // 2, settings.samples + 1, (settings.batch, 1), generator=generator)
    return {"y": samples * (torch.arange(settings.samples) < ends)}


def _magnitudes(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"spec": torch.rand(settings.batch, settings.spec_channels, settings.frames, generator=generator)}


def _values(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Magnitudes of which some are below what a logarithm gets to see."""
    shape = (settings.batch, _MELS, settings.frames)
    return {"x": torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.1)}


def _spectrogram(function: Any, given: Batch) -> object:
    return function(given["y"], 512, _RATE, 128, 512)


def _narrow(function: Any, given: Batch) -> object:
    return function(given["y"], 512, _RATE, 128, 400)


def _to_mel(function: Any, given: Batch) -> object:
    # Its own highest frequency: some revisions keep filters by that alone.
    n_fft = 2 * (given["spec"].shape[1] - 1)
    return function(given["spec"], n_fft, _MELS, _RATE, 0.0, 15000.0)


def _to_mel_of_band(function: Any, given: Batch) -> object:
    n_fft = 2 * (given["spec"].shape[1] - 1)
    return function(given["spec"], n_fft, _MELS, _RATE, 80.0, 7000.0)


def _mel(function: Any, given: Batch) -> object:
    return function(given["y"], 512, _MELS, _RATE, 128, 512, 0.0, None)


def _mel_of_band(function: Any, given: Batch) -> object:
    return function(given["y"], 512, _MELS, _RATE, 128, 400, 80.0, 7500.0)  # not the band of other filters, as above


CASES = (
    Case(
        "mel",
        (
            Part("mel_processing", "spectrogram_torch", _audio, call=_spectrogram),
            Part("mel_processing", "spectrogram_torch", _audio, call=_narrow, label="narrow window"),
            Part("mel_processing", "spec_to_mel_torch", _magnitudes, call=_to_mel),
            Part("mel_processing", "spec_to_mel_torch", _magnitudes, call=_to_mel_of_band, label="mels of a band"),
            Part("mel_processing", "mel_spectrogram_torch", _audio, call=_mel),
            Part("mel_processing", "mel_spectrogram_torch", _audio, call=_mel_of_band, label="band"),
            Part("f5_tts.model.modules", "get_bigvgan_mel_spectrogram", _audio, call=lambda f, given: f(given["y"])),
            *(
                Part("mel_processing", name, _values, call=lambda f, given: f(given["x"]))
                for name in ("spectral_normalize_torch", "spectral_de_normalize_torch")
            ),
            *(
                Part("mel_processing", name, _values, call=lambda f, given: f(given["x"], C=3))
                for name in ("dynamic_range_compression_torch", "dynamic_range_decompression_torch")
            ),
        ),
    ),
)
