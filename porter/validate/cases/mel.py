"""mel_processing.py, with the gradients that upstream's trainers take through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.settings import Settings

Call = Callable[[Any, Batch], object]

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


# Geometries of upstream's own: s2.json's, and those that its loaders of v3 and v4 ask for. None is a highest frequency.
_OWN: dict[str, tuple[int, int, int, int, int]] = {  # window, mel bands, samples a second, hop, filter length
    "v2": (2048, 128, 32000, 640, 2048),
    "v3": (1024, 100, 24000, 256, 1024),
    "v4": (1280, 100, 32000, 320, 1280),
}


def _of(version: str) -> tuple[str, str] | None:
    """What an upstream has that has this version."""
    return None if version == "v2" else ("models", "SynthesizerTrnV3")


def _own_spectrogram(version: str) -> Call:
    window, _, rate, hop, length = _OWN[version]
    return lambda f, given: f(given["y"], length, rate, hop, window, center=False)


def _own_mel(version: str) -> Call:
    window, mels, rate, hop, length = _OWN[version]
    return lambda f, given: f(given["y"], length, mels, rate, hop, window, 0, None)


def _pairs(key: str, base: dict[str, Any], others: dict[str, Any]) -> Call:
    """Calls that differ from the first in one argument each: what a function keeps must not be taken for another's.

    Revisions that keep filters by less than all of their arguments take others' for their own, which may not fit.
    """

    def attempt(function: Any, value: Tensor, arguments: dict[str, Any]) -> object:
        try:
            return function(value, **arguments)
        except RuntimeError as error:
            return type(error).__name__

    def call(function: Any, given: Batch) -> object:
        value = given[key]
        calls = [base, *({**base, name: other} for name, other in others.items())]
        found = [attempt(function, value, arguments) for arguments in calls]
        return [*found, attempt(function, value.double(), base), attempt(function, value, base)]

    return call


_FILTERS = {"n_fft": 512, "sampling_rate": _RATE, "hop_size": 128, "win_size": 400}
_BANDS = {"n_fft": 2048, "num_mels": _MELS, "sampling_rate": _RATE, "fmin": 0.0, "fmax": None}
_OTHER_FILTERS = {"n_fft": 480, "sampling_rate": 24000, "hop_size": 160, "win_size": 512, "center": True}
_OTHER_BANDS = {"num_mels": 32, "sampling_rate": 24000, "fmin": 60.0, "fmax": 9000.0}


def _bins(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"spec": torch.rand(settings.batch, 1025, settings.frames, generator=generator)}


CASES = (
    Case(
        "mel.geometry",
        (
            *(
                Part(
                    "mel_processing",
                    "spectrogram_torch",
                    _audio,
                    call=_own_spectrogram(v),
                    label=f"spectrogram {v}",
                    needs=_of(v),
                )
                for v in _OWN
            ),
            *(
                Part(
                    "mel_processing",
                    "mel_spectrogram_torch",
                    _audio,
                    call=_own_mel(v),
                    label=f"mels {v}",
                    needs=_of(v),
                )
                for v in _OWN
            ),
        ),
    ),
    Case(
        "mel.pairs",
        (
            Part("mel_processing", "spectrogram_torch", _audio, call=_pairs("y", _FILTERS, _OTHER_FILTERS)),
            Part("mel_processing", "spec_to_mel_torch", _bins, call=_pairs("spec", _BANDS, _OTHER_BANDS)),
            Part(
                "mel_processing",
                "mel_spectrogram_torch",
                _audio,
                call=_pairs("y", {**_BANDS, **_FILTERS}, {**_OTHER_BANDS, **_OTHER_FILTERS}),
            ),
        ),
        training=False,
        gradients=False,
        on_host=True,
    ),
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
