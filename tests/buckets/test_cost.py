"""Figures of buckets, by hand and against batches as upstream's collate functions lay them out."""

from __future__ import annotations

import pytest
import torch

from porter.buckets.cost import buckets_of, clip_bytes, filling, wasted
from porter.buckets.model import Model
from porter.runtime.training.dataset import Clip


def clips(*lengths: tuple[int, int]) -> list[Clip]:
    return [Clip(f"{n}.wav", 0, frames, phones) for n, (frames, phones) in enumerate(lengths)]


def test_padding_and_batches_of_an_epoch() -> None:
    held = clips((40, 5), (60, 17), (80, 3), (100, 9), (190, 20), (20, 90), (900, 90))
    first, second = found = buckets_of(held, [32, 103, 150, 199], Model(batch_size=2), repeats=3, replicas=2)
    assert (first.above, first.upto, first.frames, first.tokens) == (32, 103, 104, 24)
    assert (first.clips, first.batches, first.computed) == (4, 3, 3 * 4 * 104)
    assert (first.filling, second.filling) == (0, 1 * 200)
    assert first.wasted == pytest.approx(1 - 70 / 104)
    assert (second.above, second.upto, second.tokens, second.batches) == (103, 199, 24, 1)
    assert second.wasted == pytest.approx(1 - 190 / 200)
    assert wasted(found) == pytest.approx(1 - (12 * 70 + 4 * 190) / (12 * 104 + 4 * 200))
    assert filling(found) == pytest.approx(200 / (12 * 104 + 4 * 200))
    assert wasted([]) == filling([]) == 0


@pytest.mark.parametrize("version", ["v2", "v2Pro", "v3", "v4"])
def test_input_bytes_are_those_of_a_batch(version: str) -> None:
    frames, tokens = 104, 24
    floats = [(768, frames), (1025, frames)]
    floats.append({"v3": (100, 195), "v4": (100, 208)}.get(version, (1, frames * 640)))
    if version == "v2Pro":
        floats.append((20480, 1))
    batch = [*(torch.zeros(*shape) for shape in floats), torch.zeros(tokens + 4, dtype=torch.long)]
    assert clip_bytes(frames, tokens, Model(version=version)) == sum(part.nbytes for part in batch)


def test_memory_grows_with_the_batch_and_with_frames_and_is_unknown_for_other_networks() -> None:
    held = clips((400, 100), (800, 100))

    def memory(model: Model) -> list[float | None]:
        return [bucket.memory for bucket in buckets_of(held, [32, 399 + 8, 807], model)]

    short, long = memory(Model(batch_size=8))
    assert short is not None and long is not None
    inputs = 8 * clip_bytes(408, 104, Model())
    assert short == pytest.approx(3.15e9 + 2.78e9 + 0.56e9 * 408 / 400 + inputs)
    assert 0.5e9 < long - short < 0.8e9
    assert memory(Model(batch_size=16))[0] == pytest.approx(2 * short)
    assert memory(Model(version="v3")) == [None, None]
