"""data_utils.py: what its collate functions make of a batch, and how its sampler deals batches out.

The port pads to a bucket where upstream pads to the batch's own longest sample. So what is compared is the part that
holds samples, and that there is nothing but zeros behind it; and with buckets off, all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Part, lengths, offering
from porter.validate.cases.shapes import Inputs, normal
from porter.validate.settings import Settings

_CHANNELS = {"ssl": 5, "spec": 7, "mel": 9, "wav": 1}  # all different, so that a result tells what it holds
_SPEAKER = 20480
_HOP = 4  # audio samples a frame


def _rows(names: tuple[str, ...], mels: float) -> Inputs:
    """Samples of several lengths, `NAME:INDEX`, each as upstream's loader hands it out; `mels` are those a frame."""

    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        frames = lengths(settings.batch, settings.frames // 2, settings.frames, generator).tolist()
        phonemes = lengths(settings.batch, settings.phonemes // 2, settings.phonemes, generator).tolist()
        frames[0] = settings.frames  # of which upstream rounds some up further than others
        batch: Batch = {}
        for index in range(settings.batch):
            sizes = {"ssl": frames[index], "spec": frames[index], "wav": frames[index] * _HOP}
            sizes["mel"] = int(frames[index] * mels)
            for name in names:
                batch[f"{name}:{index}"] = _sample(name, sizes.get(name, phonemes[index]), generator)
        return batch

    return inputs


def _sample(name: str, length: int, generator: torch.Generator) -> Tensor:
    if name == "text":
        return torch.randint(1, 300, (length,), generator=generator).float()
    if name == "speaker":
        return normal(generator, 1, _SPEAKER)
    value = normal(generator, _CHANNELS[name], length)
    return value.unsqueeze(0) if name == "ssl" else value


def _collate(collate: Any, names: tuple[str, ...], given: Batch) -> object:
    count = len(given) // len(names)
    rows = [tuple(given[f"{name}:{index}"] for name in names) for index in range(count)]
    longest = {name: max(given[f"{name}:{index}"].shape[-1] for index in range(count)) for name in names}
    by_channels = {_CHANNELS[name]: longest[name] for name in names if name in _CHANNELS}
    with mock.patch.dict(os.environ, {"SOVITS_PORT_BUCKETS": "off"}):
        found: list[object] = [tuple(collate(rows))]  # padded as upstream does
    for padded in collate(rows):
        if padded.dim() == 3:
            found.append(_held(padded, by_channels[padded.shape[1]]))
        elif padded.dim() == 2 and not padded.is_floating_point():
            found.append(_held(padded, longest["text"]))
        else:
            found.append((padded,))
    return found


def _held(padded: Tensor, length: int) -> tuple[Tensor, ...]:
    """What holds samples, and how many numbers behind it are not zero."""
    return padded[..., :length], padded[..., length:].count_nonzero()


def _collates(name: str, names: tuple[str, ...], mels: float = 2.0, label: str = "", **arguments: Any) -> Part:
    def call(collate: Any, given: Batch) -> object:
        return _collate(collate, names, given)

    return Part("data_utils", name, _rows(names, mels), offering(**arguments), call, label=label)


def _durations(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"lengths": torch.randint(1, 60, (40,), generator=generator)}


class _Dataset:
    """As much of a data set as the sampler asks for."""

    def __init__(self, durations: Tensor) -> None:
        self.lengths = durations.tolist()

    def __len__(self) -> int:
        return len(self.lengths)


def _deal(shuffle: bool) -> Callable[[Any, Batch], object]:
    def call(sampler: Any, given: Batch) -> object:
        dealt = sampler(_Dataset(given["lengths"]), 4, [0, 10, 20, 40, 50], num_replicas=2, rank=1, shuffle=shuffle)
        first = list(dealt)
        dealt.set_epoch(1)
        return first, list(dealt), len(dealt)

    return call


CASES = (
    Case(
        "collate",
        (
            _collates("TextAudioSpeakerCollate", ("ssl", "spec", "wav", "text")),
            _collates(
                "TextAudioSpeakerCollate",
                ("ssl", "spec", "wav", "text", "speaker"),
                label="v2Pro",
                version="v2Pro",
            ),
            # 24000 / 256 mel frames a second to 25 of the features, in which upstream makes room for 1.5 times that
            _collates("TextAudioSpeakerCollateV3", ("ssl", "spec", "mel", "text"), mels=1.875),
            _collates("TextAudioSpeakerCollateV3b", ("ssl", "spec", "wav", "mel", "text"), mels=1.875),
            _collates("TextAudioSpeakerCollateV4", ("ssl", "spec", "mel", "text")),
            *(
                Part("data_utils", "DistributedBucketSampler", _durations, call=_deal(shuffle), label=label)
                for label, shuffle in (("sampler", True), ("sampler in order", False))
            ),
        ),
        gradients=False,
        on_host=True,
    ),
)
