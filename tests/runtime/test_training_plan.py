"""Batches of a bucket have one shape, with and without a plan file and workers; a plan that does not fit is refused."""

from __future__ import annotations

import json
import pickle
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from porter.runtime import ops, training
from porter.runtime.training.dataset import TEXTS, read_clips
from porter.runtime.training.plan import PLAN, BucketedItems, Plan, padded_frames, plan_for, read_plan
from tests.tiny_dataset import HOP, RATE, write_dataset, write_sound

DEFAULT = [32, 60, 100, 300, 400, 900]
CLIPS = [(frames, frames // 4) for frames in (33, 40, 51, 60, 61, 99, 100, 350, 360, 400)]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    ops.use_pads(None)


class Clips(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """A dataset with the attributes of upstream's, of made-up numbers with the lengths of files."""

    def __init__(self, folder: Path) -> None:
        clips = read_clips(folder, HOP, RATE).clips
        self.path2 = f"{folder}/{TEXTS}"
        self.hop_length, self.sampling_rate = HOP, RATE
        self.audiopaths_sid_text = [[clip.name, [1] * clip.phones] for clip in clips]
        self.lengths = [clip.frames for clip in clips]
        self.samples = [(clip.bytes - 44) // 2 for clip in clips]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        sound = torch.ones(self.samples[index])
        return torch.ones(3, len(sound) // HOP), sound, torch.ones(len(self.audiopaths_sid_text[index][1]))


class BucketSampler:
    """Batches of two clips between two boundaries; it changes the list of boundaries, as upstream's does."""

    def __init__(self, dataset: Clips, boundaries: list[int]) -> None:
        self.batches = []
        while len(boundaries) > 1:
            above, upto = boundaries[0], boundaries.pop(1)
            boundaries[0] = upto
            held = [i for i, frames in enumerate(dataset.lengths) if above < frames <= upto]
            self.batches += [[held[k], held[(k + 1) % len(held)]] for k in range(0, len(held), 2)]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def collate(batch: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """As rules rewrite upstream's: rounded up by upstream, then padded to a bucket."""
    frames = 2 * (max(x[0].size(1) for x in batch) // 2 + 1)
    spec = torch.zeros(len(batch), 3, ops.bucket(frames))
    sound = torch.zeros(len(batch), ops.bucket(max(x[1].size(0) for x in batch)))
    text = torch.zeros(len(batch), ops.bucket(max(x[2].size(0) for x in batch), tokens=True), dtype=torch.long)
    for i, row in enumerate(batch):
        spec[i, :, : row[0].size(1)] = row[0]
        sound[i, : row[1].size(0)] = row[1]
        text[i, : row[2].size(0)] = row[2]
    return spec, sound, text


def shapes(dataset: Clips, limits: list[int], workers: int = 0, start: str | None = None) -> dict[int, set[Any]]:
    """Shapes of the batches of each bucket, by its upper boundary."""
    sampler = BucketSampler(dataset, list(limits))
    loader = DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers, multiprocessing_context=start
    )
    found = defaultdict(set)
    for indices, batch in zip(sampler, loader, strict=True):
        longest = max(dataset.lengths[i] for i in indices)
        assert batch[0].sum() == 3 * sum(dataset.samples[i] // HOP for i in indices)
        assert batch[1].sum() == sum(dataset.samples[i] for i in indices)
        assert batch[2].sum() == sum(len(dataset.audiopaths_sid_text[i][1]) for i in indices)
        found[min(limit for limit in limits if limit >= longest)].add(tuple(tuple(part.shape) for part in batch))
    return found


def write_plan(folder: Path, limits: Sequence[int]) -> Plan:
    plan = plan_for(read_clips(folder, HOP, RATE).clips, limits, RATE, HOP, None)
    (folder / PLAN).write_bytes(plan.to_bytes())
    return plan


def refused(dataset: Any, capsys: pytest.CaptureFixture[str], default: Sequence[int] = DEFAULT) -> str:
    with pytest.raises(SystemExit) as stopped:
        training.boundaries(dataset, default)
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def items_of(dataset: Any) -> BucketedItems:
    items = dataset.__getitems__
    assert isinstance(items, BucketedItems)
    return items


@pytest.mark.parametrize(
    ("planned", "workers", "start"),
    [(False, 0, None), (False, 2, "fork"), (True, 0, None), (True, 2, "fork"), (True, 1, "spawn")],
)
def test_batches_of_a_bucket_have_one_shape(tmp_path: Path, planned: bool, workers: int, start: str | None) -> None:
    dataset = Clips(write_dataset(tmp_path, CLIPS))
    if planned:
        write_plan(tmp_path, [32, 55, 103, 407])
    limits = training.boundaries(dataset, DEFAULT)
    assert limits == ([32, 55, 103, 407] if planned else [32, 60, 100, 400])
    found = shapes(dataset, limits, workers, start)
    assert found.keys() == set(limits[1:])
    for limit, (shape, *others) in found.items():
        assert not others
        frames = padded_frames(limit)
        text = -(-max(phones for n, phones in CLIPS if n <= limit) // 8) * 8
        assert shape == ((2, 3, frames), (2, frames * HOP), (2, text))


def test_batches_have_many_shapes_without_it(tmp_path: Path) -> None:
    found = shapes(Clips(write_dataset(tmp_path, CLIPS)), [32, 60, 100, 400])
    assert max(map(len, found.values())) > 1


def test_boundaries_may_be_asked_for_again_and_leave_the_default_alone(tmp_path: Path) -> None:
    dataset = Clips(write_dataset(tmp_path, CLIPS))
    default = list(DEFAULT)
    first = training.boundaries(dataset, default)
    assert training.boundaries(dataset, default) == first
    assert default == DEFAULT
    items = items_of(pickle.loads(pickle.dumps(dataset)))
    assert items.previous is None
    assert len(items([0, 1])) == 2


def test_a_datasets_own_way_to_read_a_batch_is_kept(tmp_path: Path) -> None:
    class Together(Clips):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [("together", self[i]) for i in indices]

    dataset = Together(write_dataset(tmp_path, CLIPS))
    training.boundaries(dataset, DEFAULT)
    training.boundaries(dataset, DEFAULT)
    assert [item[0] for item in dataset.__getitems__([0, 1])] == ["together"] * 2
    assert ops.bucket(34) == 64


def test_text_of_a_dataset_that_tells_nothing_of_it_is_padded_as_without_a_bucket(tmp_path: Path) -> None:
    dataset = Clips(write_dataset(tmp_path, CLIPS))
    dataset.audiopaths_sid_text = [[name, "speaker", "some text"] for name, _ in dataset.audiopaths_sid_text]
    training.boundaries(dataset, DEFAULT)
    items_of(dataset)([0])
    assert (ops.bucket(34), ops.bucket(34, tokens=True)) == (64, 40)


def test_a_dataset_without_lengths_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    class Other(Dataset[int]):
        pass

    dataset = Other()
    assert training.boundaries(dataset, DEFAULT) == DEFAULT
    assert "several shapes" in capsys.readouterr().err
    assert not hasattr(dataset, "__getitems__")


def test_a_clip_beyond_the_last_boundary_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = Clips(write_dataset(tmp_path, [*CLIPS, (901, 9)]))
    told = refused(dataset, capsys)
    assert f"{tmp_path}/5-wav32k/10.wav has 901 frames" in told and "900" in told
    assert f"sovits-port buckets {tmp_path} --write" in told
    write_plan(tmp_path, [32, 103, 903])
    assert training.boundaries(dataset, DEFAULT) == [32, 103, 903]
    dataset.lengths[0] = 904
    with pytest.raises(ValueError, match="904 frames is longer than the last bucket boundary, 903"):
        items_of(dataset)([0, 1])


def test_a_dataset_of_clips_that_the_sampler_leaves_out_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Clips(write_dataset(tmp_path, [(31, 4), (32, 4)]))
    assert "no clip of more than 32 frames" in refused(dataset, capsys)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = write_plan(write_dataset(tmp_path, CLIPS), [32, 103, 407])
    assert read_plan(tmp_path / PLAN) == plan
    assert plan.tokens == (32, 104)
    with pytest.raises(ValueError, match="no clip between 103 and"):
        write_plan(tmp_path, [32, 103, 303, 407])


def test_a_stale_plan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(write_dataset(tmp_path, CLIPS), [32, 103, 407])
    training.boundaries(Clips(tmp_path), DEFAULT)
    write_sound(tmp_path, "03.wav", 62)
    told = refused(Clips(tmp_path), capsys)
    assert f"{tmp_path / PLAN} was made for 10 clips of other lengths" in told and "--write" in told
    write_sound(tmp_path, "03.wav", 60)
    text = tmp_path / TEXTS
    text.write_text(text.read_text("utf-8").replace("03.wav\ta", "03.wav\t" + "a " * 20 + "a"), "utf-8")
    assert "room for 32 phones where 03.wav has 35" in refused(Clips(tmp_path), capsys)


def test_a_plan_for_another_hop_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(write_dataset(tmp_path, CLIPS), [32, 103, 407])
    dataset = Clips(tmp_path)
    dataset.hop_length = 320
    assert "made for 32000 Hz with a hop of 640, not 32000 Hz with a hop of 320" in refused(dataset, capsys)


def broken(**changes: object) -> bytes:
    plan = json.loads(Plan((32, 103), (16,), RATE, HOP, None, 2, "0").to_bytes())
    return json.dumps({key: value for key, value in {**plan, **changes}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "is no plan"),
        (broken(schema=2), "is no plan"),
        (broken(tokens=...), "lacks parts"),
        (broken(clips=...), "lacks parts"),
        (broken(boundaries=3), "lacks parts"),
        (broken(more=3), "lacks parts"),
        (broken(boundaries=[103, 32]), "are none"),
        (broken(boundaries=[32]), "are none"),
        (broken(boundaries=[32, "103"]), "are none"),
        (broken(tokens=[16, 16]), "are none"),
        (broken(hop_length=0), "are none"),
        (broken(tokens=[True]), "are none"),
    ],
)
def test_a_plan_file_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    dataset = Clips(write_dataset(tmp_path, CLIPS))
    (tmp_path / PLAN).write_bytes(content)
    sentence = refused(dataset, capsys)
    assert told in sentence and str(tmp_path / PLAN) in sentence
