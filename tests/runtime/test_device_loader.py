"""The loader that uploads ahead: order, errors, leaving early, epochs."""

import collections
import copy
import gc
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from porter.runtime import utils
from porter.runtime.training import DeviceLoader

from .graphs import device


class Pair(NamedTuple):
    wave: torch.Tensor
    name: str


@pytest.fixture(params=["cpu", pytest.param("xla", marks=pytest.mark.xla)])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the batches are to go."""
    utils.use_device(request.param)
    if request.param == "xla":
        device()
    yield request.param
    utils.use_device(None)


@pytest.fixture
def on_xla() -> Iterator[None]:
    utils.use_device("xla")
    device()
    yield
    utils.use_device(None)


class Numbers(Dataset[int]):
    """0, 1, 2 and so on."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


def numbers(count: int, **options: Any) -> DataLoader[int]:
    return DataLoader(Numbers(count), batch_size=2, **options)


def uploads() -> int:
    return sum(thread.name == "upload" and thread.is_alive() for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("never")


def test_batches_come_in_order_and_nested_as_they_were(place: str) -> None:
    batches = [
        {"pair": Pair(torch.full((2, 3), n), f"clip {n}"), "rest": [torch.tensor(n), (n, None)]} for n in range(5)
    ]
    got = list(DeviceLoader(batches))
    assert [batch["rest"][1] for batch in got] == [(n, None) for n in range(5)]
    for n, batch in enumerate(got):
        pair = batch["pair"]
        assert isinstance(pair, Pair)
        assert pair.name == f"clip {n}"
        assert pair.wave.device.type == batch["rest"][0].device.type == place
        assert pair.wave.cpu().tolist() == [[n] * 3] * 2
        assert batch["rest"][0].item() == n
    assert batches[0]["pair"].wave.device.type == "cpu"  # type: ignore[attr-defined]


@pytest.mark.xla
@pytest.mark.parametrize("kind", [collections.OrderedDict, lambda items: collections.defaultdict(list, items)])
def test_a_mapping_keeps_its_type(on_xla: None, kind: Callable[[Any], Any]) -> None:
    given = kind([("a", torch.ones(2))])
    (batch,) = DeviceLoader([given])
    assert type(batch) is type(given)
    assert batch["a"].device.type == "xla"
    assert given["a"].device.type == "cpu"


def test_each_loop_starts_afresh_and_leaves_no_thread(place: str) -> None:
    loader = DeviceLoader(numbers(6))
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    assert uploads() == 0


def test_an_error_of_the_dataset_comes_out_after_the_batches_before_it(place: str) -> None:
    def batches() -> Iterator[torch.Tensor]:
        yield torch.ones(1)
        yield torch.ones(1)
        raise OSError("clip.wav is not readable")

    seen = 0
    with pytest.raises(OSError, match=r"clip\.wav is not readable"):
        for _ in DeviceLoader(batches()):
            seen += 1
    assert seen == 2
    assert uploads() == 0


@pytest.mark.xla
def test_at_most_two_batches_are_loaded_ahead(on_xla: None) -> None:
    taken: list[int] = []

    def batches() -> Iterator[torch.Tensor]:
        for n in range(20):
            taken.append(n)
            yield torch.tensor([n])

    for n, batch in enumerate(DeviceLoader(batches())):
        wanted = min(n + 3, 20)
        wait_until(lambda wanted=wanted: len(taken) == wanted)  # type: ignore[misc]
        time.sleep(0.005)
        assert len(taken) == wanted
        assert batch.tolist() == [n]


@pytest.mark.xla
@pytest.mark.parametrize("how", ["break", "raise"])
def test_leaving_the_loop_stops_the_thread_and_closes_the_loader(on_xla: None, how: str) -> None:
    closed: list[bool] = []

    def batches() -> Iterator[torch.Tensor]:
        try:
            while True:
                yield torch.ones(1)
        finally:
            closed.append(True)

    def leave() -> None:
        for _ in DeviceLoader(batches()):
            assert uploads() == 1
            if how == "break":
                break
            raise KeyError

    if how == "break":
        leave()
    else:
        with pytest.raises(KeyError):
            leave()
    wait_until(lambda: uploads() == 0 and closed == [True])


@pytest.mark.xla
def test_seeds_of_the_loader_are_drawn_before_the_loop_starts(on_xla: None) -> None:
    def next_draw(wrap: Callable[[Any], Any]) -> list[float]:
        torch.manual_seed(3)
        batches = iter(wrap(numbers(4)))
        drawn: list[float] = torch.rand(2).tolist()
        list(batches)
        return drawn

    assert next_draw(DeviceLoader) == next_draw(lambda loader: loader)


def test_what_the_loader_has_is_reachable() -> None:
    epochs: list[int] = []
    sampler = SimpleNamespace(set_epoch=epochs.append)
    loader = DeviceLoader(SimpleNamespace(batch_sampler=sampler, dataset="clips", __len__=lambda: 3))
    loader.batch_sampler.set_epoch(4)
    assert (epochs, loader.dataset) == ([4], "clips")
    assert len(DeviceLoader([1, 2, 3])) == 3
    with pytest.raises(AttributeError, match="nothing"):
        _ = loader.nothing
    assert copy.copy(loader).dataset == "clips"


@pytest.mark.xla
def test_loader_workers_may_start_when_the_device_is_live(on_xla: None) -> None:
    utils.constant(torch.ones(1)).cpu()
    loader = DeviceLoader(numbers(8, num_workers=2, persistent_workers=True))
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    del loader
    gc.collect()  # its workers end here, and not in the middle of another test
