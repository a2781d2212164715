"""A folder as upstream's tools prepare it for training, made of tones and noise, and a small configuration.

What is in it, for a clip named `clip_000.wav`:

- `2-name2text.txt`: a line of four columns, separated by tabs: name, phones, phones per word, text.
- `5-wav32k/clip_000.wav`: the sound, 32 kHz, 16 bits, mono.
- `4-cnhubert/clip_000.wav.pt`: its features, float32 [1, 768, frames], some 50 frames a second.
- `7-sv_cn/clip_000.wav.pt`: the speaker's, float32 [1, 20480], for the v2Pro family only.

The same arguments give the same bytes.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

RATE = 32000  # samples per second
PHONES = ("HH", "AH0", "L", "OW1", "W", "ER1", "D", "S", "IH1", "T", "AY1", "b", "zh", "a1", "ai4", "u3", ",", ".", "!")
"""Phones that upstream's version 1 and all later ones know."""

WIDE = frozenset({"v2Pro", "v2ProPlus"})  # versions that take features of the speaker
_SSL, _SPEAKER = 768, 20480  # channels of the features
_PEAK = 0.1  # of full scale
_PACE = 8  # phones per second, about

# Upstream's structure at a width that trains within seconds. What its code fixes stays: MRTE takes 192 hidden channels,
# and adds a style vector of 512 that has the width of `gin_channels` but in the v2Pro family.
_MODEL: dict[str, Any] = {
    "inter_channels": 32,
    "hidden_channels": 192,
    "filter_channels": 64,
    "n_heads": 2,
    "n_layers": 2,
    "kernel_size": 3,
    "p_dropout": 0.1,
    "resblock": "1",
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_rates": [10, 8, 2, 2, 2],
    "upsample_initial_channel": 64,
    "upsample_kernel_sizes": [16, 16, 8, 2, 2],
    "n_layers_q": 3,
    "use_spectral_norm": False,
    "gin_channels": 512,
    "semantic_frame_rate": "25hz",
    "freeze_quantizer": True,
}
_OTHER_MODEL: dict[str, dict[str, Any]] = {
    **{version: {"gin_channels": 64} for version in WIDE},
    **{version: {"inter_channels": 192} for version in ("v3", "v4")},  # the bridge takes what the text encoder makes
}


def make_dataset(
    folder: Path,
    *,
    clips: int,
    seconds: tuple[float, float],
    seed: int = 0,
    version: str = "v2",
    phones: Sequence[str] = PHONES,
) -> list[str]:
    """Write a dataset to `folder`, which is made when missing; the names of its clips.

    Lengths are spread evenly over the range of `seconds`, both ends included, and come in random order.
    """
    chance = np.random.default_rng(seed)
    names = [f"clip_{number:03}.wav" for number in range(clips)]
    for part in ("4-cnhubert", "5-wav32k", *(["7-sv_cn"] if version in WIDE else [])):
        (folder / part).mkdir(parents=True, exist_ok=True)
    speaker = chance.standard_normal((1, _SPEAKER), dtype=np.float32)
    lines = []
    for name, length in zip(names, chance.permutation(np.linspace(*seconds, clips)), strict=True):
        samples = round(float(length) * RATE)
        _write_sound(folder / "5-wav32k" / name, _sound(samples, chance))
        _write_tensor(folder / "4-cnhubert" / f"{name}.pt", _features(samples, chance))
        if version in WIDE:
            other = chance.standard_normal((1, _SPEAKER), dtype=np.float32)
            _write_tensor(folder / "7-sv_cn" / f"{name}.pt", 0.9 * speaker + 0.4 * other)
        count = max(2, round(float(length) * _PACE * chance.uniform(0.7, 1.3)))
        spoken = " ".join(phones[index] for index in chance.integers(len(phones), size=count))
        lines.append(f"{name}\t{spoken}\t[{count}]\tclip {name}\n")
    (folder / "2-name2text.txt").write_text("".join(lines), encoding="utf-8")
    return names


def write_config(
    path: Path,
    exp_dir: Path,
    *,
    version: str = "v2",
    name: str = "tiny",
    train: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a configuration as upstream's web interface does before it starts a trainer; what it says.

    `train`, `data` and `model` change single values. The folders for checkpoints and weights are made, below `exp_dir`.
    """
    weights = exp_dir / "weights"
    for folder in (weights, exp_dir / f"logs_s2_{version}"):
        folder.mkdir(parents=True, exist_ok=True)
    config = {
        "train": {
            "log_interval": 1,
            "eval_interval": 500,
            "seed": 1234,
            "epochs": 1,
            "learning_rate": 0.0001,
            "betas": [0.8, 0.99],
            "eps": 1e-09,
            "batch_size": 4,
            "fp16_run": False,
            "lr_decay": 0.999875,
            "segment_size": 5120,
            "init_lr_ratio": 1,
            "warmup_epochs": 0,
            "c_mel": 45,
            "c_kl": 1.0,
            "text_low_lr_rate": 0.4,
            "grad_ckpt": False,
            "pretrained_s2G": "",
            "pretrained_s2D": "",
            "if_save_latest": 0,
            "if_save_every_weights": False,
            "save_every_epoch": 1,
            "gpu_numbers": "0",
            "lora_rank": "32",
            **(train or {}),
        },
        "data": {
            "max_wav_value": 32768.0,
            "sampling_rate": RATE,
            "filter_length": 2048,
            "hop_length": 640,
            "win_length": 2048,
            "n_mel_channels": 128,
            "mel_fmin": 0.0,
            "mel_fmax": None,
            "add_blank": True,
            "n_speakers": 300,
            "cleaned_text": True,
            "exp_dir": str(exp_dir),
            **(data or {}),
        },
        "model": {**_MODEL, **_OTHER_MODEL.get(version, {}), "version": version, **(model or {})},
        "s2_ckpt_dir": str(exp_dir),
        "content_module": "cnhubert",
        "save_weight_dir": str(weights),
        "name": name,
        "version": version,
    }
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return config


def _sound(samples: int, chance: np.random.Generator) -> npt.NDArray[np.int16]:
    """A tone with overtones that glides and swells, and noise.

    It is quiet: weights that nobody trained turn the spectrogram of a loud tone into a posterior of some e^9.
    """
    time = np.arange(samples) / RATE
    pitch = chance.uniform(90, 280) * (1 + 0.1 * np.sin(2 * np.pi * chance.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(chance.uniform(0.3, 1) / order * np.sin(order * phase) for order in range(1, 9))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * chance.uniform(1, 4) * time + chance.uniform(0, 6))
    loud = tone * swell + 0.3 * chance.standard_normal(samples)
    return np.asarray(np.round(loud / np.abs(loud).max() * _PEAK * 32767), np.int16)


def _features(samples: int, chance: np.random.Generator) -> npt.NDArray[np.float32]:
    """Features that change slowly, as many frames as HuBERT gives: 16 kHz, windows of 400 samples, 320 apart."""
    frames = (samples // 2 - 400) // 320 + 1
    steps = chance.standard_normal((1, _SSL, frames + 4), dtype=np.float32)
    return sum((steps[..., shift : shift + frames] for shift in range(5)), np.zeros((), np.float32)) * np.float32(0.2)


def _write_sound(path: Path, samples: npt.NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def _write_tensor(path: Path, values: npt.NDArray[np.float32]) -> None:
    torch.save(torch.from_numpy(np.ascontiguousarray(values)), path)
