"""What a loop says it is at: compiling which graph, since when, expected when, and how fast it trains."""

from __future__ import annotations

import importlib
import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from porter.runtime import utils
from porter.runtime.training import progress
from porter.runtime.training.plan import BucketedItems
from porter.runtime.training.progress import Progress

from .graphs import device


class Dataset:
    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "2-name2text.txt")
        self.lengths, self.hop_length = [50, 90], 640
        self.__getitems__ = BucketedItems(self, (32, 63, 95), (16, 24), None)


def batch(frames: int, tokens: int) -> tuple[torch.Tensor, ...]:
    return torch.zeros(4, 768, frames), torch.zeros(4), torch.zeros(4, 1, frames * 640), torch.zeros(4, tokens)


SHORT, LONG = batch(64, 16), batch(96, 24)


Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """All that was written to stderr so far."""
    parts: list[str] = []

    def read() -> str:
        parts.append(capsys.readouterr().err)
        return "".join(parts)

    return read


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many graphs were compiled, to be counted up."""
    count = [0]
    monkeypatch.setattr(utils, "compiles", lambda: count[0])
    monkeypatch.setattr(utils, "on_tpu", lambda: False)
    monkeypatch.setenv("SOVITS_PORT_COMPILATION_CACHE", str(tmp_path / "cache"))
    return count


def run(watched: Progress, batches: list[Any], graphs: list[int], compiled: dict[int, int] | None = None) -> None:
    """A pass over some batches, in whose steps so many graphs are compiled."""
    for number, _ in enumerate(watched.watch(iter(batches), None)):
        graphs[0] += (compiled or {}).get(number, 0)


def test_a_graph_is_told_before_it_is_compiled_and_after(tmp_path: Path, said: Said, graphs: list[int]) -> None:
    watched = Progress(Dataset(tmp_path))
    steps = watched.watch(iter([SHORT, LONG]), None)
    next(steps)
    first = r"compiling bucket 1 of 2: 4 clips of 64 frames and 16 phones \(since \d\d:\d\d:\d\d\)\n"
    assert re.fullmatch(first, said())
    graphs[0] = 2
    next(steps)
    second = (
        r"compiled 2 graphs in \d\.\d s, 2 so far\ncompiling bucket 2 of 2: 4 clips of 96 frames and 24 phones .*\n"
    )
    assert re.fullmatch(first + second, said())


def test_the_time_of_the_last_run_is_expected(tmp_path: Path, said: Said, graphs: list[int]) -> None:
    run(Progress(Dataset(tmp_path)), [SHORT], graphs, {0: 1})
    assert "last time" not in said()
    run(Progress(Dataset(tmp_path)), [SHORT, LONG], graphs, {0: 1})
    assert re.search(r"64 frames and 16 phones \(since .*, last time 0\.0 s\)", said())
    assert not re.search(r"96 frames .*last time", said())
    run(Progress(Dataset(tmp_path / "other")), [SHORT], graphs, {0: 1})
    assert said().count("last time") == 1


@pytest.mark.parametrize("torn", [b"{", b"[1]", b'{"a": "b"}'])
def test_a_torn_file_of_times_is_none(tmp_path: Path, said: Said, graphs: list[int], torn: bytes) -> None:
    run(Progress(Dataset(tmp_path)), [SHORT], graphs, {0: 1})
    (tmp_path / "cache/times/compile.json").write_bytes(torn)
    run(Progress(Dataset(tmp_path)), [SHORT], graphs, {0: 1})
    assert "last time" not in said()


def test_a_graph_after_the_first_pass_is_a_warning(tmp_path: Path, said: Said, graphs: list[int]) -> None:
    watched = Progress(Dataset(tmp_path))
    run(watched, [SHORT, LONG, SHORT], graphs, {0: 1, 1: 1, 2: 1})
    assert "compiled another graph in 0.0 s, for 4 clips of 64 frames and 16 phones\n" in said()
    assert "warning" not in said()
    run(watched, [SHORT, LONG], graphs)
    assert "warning" not in said()
    run(watched, [SHORT, LONG], graphs, {1: 1})
    assert (
        "warning: a graph compiled after the first pass over the buckets, in 0.0 s, for 4 clips of 96 frames and "
        "24 phones; shapes 4x768x96, 4, 4x1x61440, 4x24\n" in said()
    )


def test_speed(tmp_path: Path, said: Said, graphs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime)  # not that by which others wait
    monkeypatch.setattr(progress, "time", clock)
    watched = Progress(Dataset(tmp_path))
    for number, _ in enumerate(watched.watch(iter([SHORT] * 122), None)):
        now[0] += 0.5 if number else 30
        graphs[0] = 1
    assert said().splitlines()[2:] == ["training: 2.00 steps/s, 512 frames/s, 1 graphs so far"]


def test_batches_of_unknown_buckets_are_told_by_their_shapes(said: Said, graphs: list[int]) -> None:
    run(Progress(SimpleNamespace()), [{"a": [torch.zeros(2, 3), "x"]}], graphs, {0: 1})
    assert said().startswith("compiling bucket 1: batches of 2x3 (since ")


def test_it_can_be_silenced(tmp_path: Path, said: Said, graphs: list[int], monkeypatch: Any) -> None:
    monkeypatch.setenv("SOVITS_PORT_PROGRESS", "off")
    run(Progress(Dataset(tmp_path)), [SHORT], graphs, {0: 1})
    assert said() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_time_runs_behind_upstream_s_bar(
    tmp_path: Path, graphs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_TICK", 0.02)
    watched = Progress(Dataset(tmp_path))

    class Loader:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[Any]:
            return watched.watch(iter([SHORT]), self)

    bars: Any = importlib.import_module("tqdm")
    bar = bars.tqdm(Loader(), file=stream, mininterval=0)
    for _ in bar:
        time.sleep(0.2)
        graphs[0] = 1
    assert "compiling bucket 1 of 2: 4 clips of 64 frames and 16 phones, 0.1 s]" in stream.getvalue()
    assert "compiled a graph in" in stream.getvalue()


def test_on_a_terminal_without_a_bar_one_line_is_written_over(
    tmp_path: Path, graphs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_TICK", 0.02)
    for _ in Progress(Dataset(tmp_path)).watch(iter([SHORT]), None):
        time.sleep(0.1)
        graphs[0] = 1
    lines = stream.getvalue().split("\n")
    assert re.search(r"\r +\rcompiling bucket 1 of 2: .* phones, 0\.\d s\r +\rcompiled a graph", lines[1])


def test_leaving_the_loop_ends_the_clock(tmp_path: Path, graphs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    watched = Progress(Dataset(tmp_path))
    closed: list[bool] = []

    def batches() -> Iterator[Any]:
        try:
            yield SHORT
        finally:
            closed.append(True)

    for _ in watched.watch(batches(), None):
        break
    assert closed == [True] and watched._line._ticker is None


@pytest.mark.xla
def test_nothing_waits_for_the_device_and_graphs_are_counted(tmp_path: Path, said: Said) -> None:
    import torch_xla

    metrics: Any = importlib.import_module("torch_xla.debug.metrics")

    utils.use_device("xla")
    place = device()
    try:
        weight = torch.ones(96, device=place)
        torch_xla.sync()
        metrics.clear_all()
        uploaded = [torch.ones(4, 2, frames).to(place) for frames in (64, 96, 64)]
        torch_xla.sync()
        metrics.clear_all()
        for found in Progress(Dataset(tmp_path)).watch(iter(uploaded), None):
            weight = weight + found.sum()
            torch_xla.sync()
        assert metrics.counter_value("UncachedCompile") == utils.compiles() == 2
        assert metrics.counter_value("aten::_local_scalar_dense") is None
        assert metrics.metric_data("TransferFromDeviceTime") is None
        assert said().count("compiled a graph in") == 2
    finally:
        utils.use_device(None)


def test_a_step_costs_little(tmp_path: Path, said: Said, graphs: list[int]) -> None:
    steps = 2000
    begun = time.perf_counter()
    run(Progress(Dataset(tmp_path)), [SHORT] * steps, graphs)
    assert (time.perf_counter() - begun) / steps < 1e-3
