"""Sizes of models and batches: upstream's own configuration, or a small version of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Preset = Literal["tiny", "full"]

# Where a snapshot has no configs/s2.json (the wheels). The numbers are those that all GPT-SoVITS checkpoints
# share.
_LENGTHS = {"tiny": {"frames": 24, "phonemes": 12}, "full": {"frames": 160, "phonemes": 40}}  # by preset
_DEFAULTS: dict[str, dict[str, Any]] = {
    "train": {"segment_size": 20480},
    "data": {
        "sampling_rate": 32000,
        "filter_length": 2048,
        "hop_length": 640,
        "win_length": 2048,
        "n_mel_channels": 128,
        "n_speakers": 300,
    },
    "model": {
        "inter_channels": 192,
        "hidden_channels": 192,
        "filter_channels": 768,
        "n_heads": 2,
        "n_layers": 6,
        "kernel_size": 3,
        "p_dropout": 0.1,
        "resblock": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
        "upsample_rates": [10, 8, 2, 2, 2],
        "upsample_initial_channel": 512,
        "upsample_kernel_sizes": [16, 16, 8, 2, 2],
        "n_layers_q": 3,
        "use_spectral_norm": False,
        "gin_channels": 512,
        "semantic_frame_rate": "25hz",
        "freeze_quantizer": True,
    },
}

# Widths that upstream's own code fixes stay: MRTE takes 192 hidden channels, and adds a style vector of 512.
_TINY_MODEL = {
    "inter_channels": 32,
    "filter_channels": 64,
    "n_layers": 2,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_rates": [4, 2],
    "upsample_initial_channel": 32,
    "upsample_kernel_sizes": [8, 4],
}
_TINY_SAMPLES = 2048  # enough for every stride of the longest period


@dataclass(frozen=True)
class Settings:
    """Sizes of one run. Lengths vary from sample to sample and step to step; shapes do not."""

    model: Mapping[str, Any]  # keyword arguments of SynthesizerTrn, as upstream's trainers pass them
    spec_channels: int
    hop_length: int  # samples per spectrogram frame
    sampling_rate: int  # samples per second
    n_speakers: int
    batch: int
    frames: int  # spectrogram frames of the padded batch, even
    phonemes: int  # phonemes of the padded batch
    segment: int  # spectrogram frames that the decoder sees
    samples: int  # audio samples that the discriminator sees
    tiny: bool
    versions: Mapping[str, Mapping[str, Any]]  # what upstream's own configuration of a version changes in `model`

    def sized(self, full: int, tiny: int) -> int:
        """A size that no configuration of upstream names: `full`, or `tiny` in the tiny preset."""
        return tiny if self.tiny else full


def make_settings(config: Mapping[str, Any] | None, preset: Preset) -> Settings:
    """Sizes from upstream's configuration, or from the built-in numbers where it has none."""
    told = copy.deepcopy(_DEFAULTS)
    for section, values in (config or {}).items():
        if section in told and isinstance(values, Mapping):
            told[section].update(values)
    model, data = told["model"], told["data"]
    hop = int(data["hop_length"])
    segment = int(told["train"]["segment_size"]) // hop
    tiny = preset == "tiny"
    if tiny:
        model.update(_TINY_MODEL)
        segment = min(segment, 8)
    return Settings(
        model=model,
        spec_channels=int(data["filter_length"]) // 2 + 1,
        hop_length=hop,
        sampling_rate=int(data["sampling_rate"]),
        n_speakers=int(data["n_speakers"]),
        batch=2,
        **_LENGTHS[preset],
        segment=segment,
        samples=_TINY_SAMPLES if tiny else segment * hop,
        tiny=tiny,
        versions={} if tiny else (config or {}).get("versions", {}),
    )
