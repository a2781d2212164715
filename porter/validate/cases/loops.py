"""A port's loop over batches: what is said while it compiles and trains, and batches that are uploaded ahead of it."""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from porter.validate.cases.base import host_case
from porter.validate.cases.known import FOLDER, Call, calling_known

_TIME = "12:34:56"
_SOON = 0.01  # seconds


class _Step(NamedTuple):
    """A step of a loop: its batch, how many seconds it takes, how many graphs it compiles."""

    batch: object
    seconds: float
    graphs: int = 0


class _Terminal(StringIO):
    """What stands for stderr where lines may be written over."""

    def isatty(self) -> bool:
        return True


class _Bar:
    """What stands for a progress bar of tqdm's."""

    _instances: list[_Bar]

    def __init__(self, iterable: object) -> None:
        self.iterable = iterable

    def set_postfix_str(self, text: str) -> None:
        print(f"[{text}]", file=sys.stderr)

    @staticmethod
    def write(text: str, file: Any) -> None:
        print(f"<{text}>", file=file)


def _batch(size: int, frames: int, phones: int) -> object:
    return [torch.zeros(size, 5, frames), {"text": (torch.zeros(size, phones), "told")}]


_LITTLE, _LARGE, _NO_TENSORS = _batch(2, 48, 8), _batch(3, 64, 16), ["text"]


def _buckets(progress: Any, folder: Path) -> Any:
    """A dataset of three buckets, of 48, 64 and 96 frames, 8, 16 and 24 phones."""
    data = SimpleNamespace(path=str(folder / "2-name2text.txt"))
    data.__getitems__ = progress.BucketedItems(data, (30, 40, 60, 90), (8, 16, 24), None)
    return data


def _no_buckets(progress: Any, folder: Path) -> Any:
    return SimpleNamespace()


def _unknown_phones(progress: Any, folder: Path) -> Any:
    data = SimpleNamespace()
    data.__getitems__ = progress.BucketedItems(data, (30, 40), (None,), None)
    return data


def _looped(
    *passes: Sequence[_Step],
    dataset: Callable[[Any, Path], Any] = _buckets,
    terminal: bool = False,
    bars: Sequence[object] | None = None,
    rank: int = 0,
    said: str = "",
    runs: int = 1,
    on_tpu: bool = False,
    kept: bool = True,
    old: str = "",
    programs: Sequence[str] = ("s2_train",),
) -> Callable[[Any, Path], object]:
    """What is said in some passes over batches, in so many runs one after the other; a bar's iterable is "loader"."""

    def run(progress: Any, folder: Path) -> object:
        now, graphs = 100.0, 7
        stderr = _Terminal() if terminal else StringIO()
        times = folder / "times"
        if old:
            times.mkdir()
            (times / "compile.json").write_text(old)
        with ExitStack() as stack:
            enter = stack.enter_context
            enter(redirect_stderr(stderr))
            enter(patch.dict(os.environ, {"SOVITS_PORT_PROGRESS": said}))
            clock = SimpleNamespace(monotonic=lambda: now, strftime=lambda form: _TIME if form == "%H:%M:%S" else form)
            enter(patch.object(progress, "time", clock))
            told: dict[str, Any] = {"process_index": lambda: rank, "compiles": lambda: graphs, "on_tpu": lambda: on_tpu}
            told["cache_folder"] = lambda name: folder / name if kept else None
            enter(patch.multiple(progress.utils, **told))
            loader = object()
            if bars is not None:
                found = [_Bar(loader if bar == "loader" else bar) for bar in bars]
                enter(patch.object(_Bar, "_instances", found, create=True))
                enter(patch.dict(sys.modules, {"tqdm": SimpleNamespace(tqdm=_Bar)}))
            else:
                enter(patch.dict(sys.modules, {"tqdm": None}))
            for number in range(runs):
                enter(patch.object(sys, "argv", [programs[number % len(programs)], "-c"]))
                watching = progress.Progress(dataset(progress, folder))
                for steps in passes:
                    batches = watching.watch((step.batch for step in steps), loader)
                    for step, batch in zip(steps, batches, strict=True):
                        assert batch is step.batch
                        now += step.seconds
                        graphs += step.graphs
        return stderr.getvalue().replace(str(folder), FOLDER)

    return run


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _compiling(place: str, what: str, last: str = "") -> str:
    return f"compiling bucket {place}: {what} (since {_TIME}{last})"


_FIRST, _SECOND = "2 clips of 48 frames and 8 phones", "3 clips of 64 frames and 16 phones"
_TOLD = _lines(
    _compiling("1 of 3", _FIRST),
    "compiled 2 graphs in 3.0 s, 9 so far",
    "training: 0.03 steps/s, 3 frames/s, 9 graphs so far",
    _compiling("2 of 3", _SECOND),
    "compiled a graph in 1 min 15 s, 10 so far",
    f"compiled another graph in 1.0 s, for {_SECOND}",
    f"compiled 2 graphs more in 59.9 s, for {_SECOND}",
    f"warning: a graph compiled after the first pass over the buckets, in 1 min 0 s, for {_FIRST}; shapes 2x5x48, 2x8",
    f"warning: 2 graphs compiled after the first pass over the buckets, in 2.0 s, for {_FIRST}; shapes 2x5x48, 2x8",
    "training: 0.02 steps/s, 2 frames/s, 16 graphs so far",
)
_ONE = (_Step(_LITTLE, 3.0, 2),)
_STEPS = (
    (
        *_ONE,
        _Step(_LITTLE, 30.0),
        _Step(_LITTLE, 30.0),
        _Step(_LARGE, 75.5, 1),
        _Step(_LARGE, 1.0, 1),
        _Step(_LARGE, 59.9, 2),
        _Step(_LITTLE, 59.0),
    ),
    (_Step(_LITTLE, 60.0, 1), _Step(_LITTLE, 2.0, 2), _Step(_LITTLE, 61.0)),
)
_ANOTHER = _lines(_compiling("1 of 3", _FIRST), "compiled 2 graphs in 3.0 s, 9 so far")
_AGAIN = _lines(_compiling("1 of 3", _FIRST, ", last time 3.0 s"), "compiled 2 graphs in 3.0 s, 11 so far")
_SPED = "training: 1.00 steps/s, 96 frames/s, 7 graphs so far"
_WIPED = "\r" + " " * len(_SPED) + "\r"


def _counted(expected: float | None, passed: float) -> Callable[[Any, Path], object]:
    """What is shown while something lasts, on a terminal, and where lines stay."""

    def run(progress: Any, folder: Path) -> object:
        found = []
        for stderr in (_Terminal(), StringIO()):
            times = iter([50.0])
            clock = SimpleNamespace(monotonic=lambda times=times: next(times, 50.0 + passed))
            with redirect_stderr(stderr), patch.object(progress, "time", clock), patch.object(progress, "_TICK", _SOON):
                line = progress._Line()
                line.count("compiling", expected)
                ends = time.monotonic() + 200 * _SOON
                while not stderr.getvalue() and stderr.isatty() and time.monotonic() < ends:
                    time.sleep(_SOON)
                line.stop()
            found.append(sorted({text.rstrip() for text in stderr.getvalue().split("\r")}))
        return found

    return run


_PROGRESS = {
    "two passes": Call(_looped(*_STEPS), gives=_TOLD),
    "two runs": Call(_looped(_ONE, runs=2), gives=_ANOTHER + _AGAIN),
    "two programs": Call(
        _looped(_ONE, runs=3, programs=("s2_train", "another")),
        gives=_ANOTHER + _ANOTHER.replace(" 9 ", " 11 ") + _AGAIN.replace(" 11 ", " 13 "),
    ),
    "two runs, of which nothing is kept": Call(
        _looped(_ONE, runs=2, kept=False), gives=_ANOTHER + _ANOTHER.replace(" 9 ", " 11 ")
    ),
    "after other times": Call(_looped(_ONE, runs=2, old='{"x": 1, "y": "z"}'), gives=_ANOTHER + _AGAIN),
    "after a torn file": Call(_looped(_ONE, runs=2, old="{"), gives=_ANOTHER + _AGAIN),
    "after another file": Call(_looped(_ONE, runs=2, old="[1]"), gives=_ANOTHER + _AGAIN),
    "without buckets": Call(
        _looped(_ONE, dataset=_no_buckets),
        gives=_lines(_compiling("1", "batches of 2x5x48, 2x8"), "compiled 2 graphs in 3.0 s, 9 so far"),
    ),
    "without phones": Call(
        _looped(_ONE, dataset=_unknown_phones),
        gives=_lines(_compiling("1 of 1", "2 clips of 48 frames"), "compiled 2 graphs in 3.0 s, 9 so far"),
    ),
    "more shapes than buckets": Call(
        _looped((*_ONE, _Step(_LARGE, 1.0)), dataset=_unknown_phones),
        gives=_lines(
            _compiling("1 of 1", "2 clips of 48 frames"),
            "compiled 2 graphs in 3.0 s, 9 so far",
            _compiling("2", "batches of 3x5x64, 3x16"),
        ),
    ),
    "without tensors": Call(
        _looped((_Step(_NO_TENSORS, 60.0),)),
        gives=_lines(_compiling("1 of 3", "batches of "), "training: 0.02 steps/s, 7 graphs so far"),
    ),
    "off": Call(_looped(*_STEPS, said="OFF"), gives=""),
    "of another process": Call(_looped(*_STEPS, rank=1), gives=""),
    "on a terminal": Call(
        _looped((_Step(_LITTLE, 1.0), _Step(_LITTLE, 1.0), _Step(_LARGE, 1.0, 1)), terminal=True),
        gives=f"{_lines(_compiling('1 of 3', _FIRST))}{_SPED}{_WIPED}"
        f"{_lines(_compiling('2 of 3', _SECOND), 'compiled a graph in 1.0 s, 8 so far')}",
    ),
    "under a bar": Call(
        _looped((_Step(_LITTLE, 1.0), _Step(_LITTLE, 1.0)), terminal=True, bars=("other", "loader")),
        gives=_lines(f"<{_compiling('1 of 3', _FIRST)}>", f"[{_SPED}]"),
    ),
    "beside another's bar": Call(
        _looped((_Step(_LITTLE, 1.0), _Step(_LITTLE, 1.0)), terminal=True, bars=("other",)),
        gives=f"<{_compiling('1 of 3', _FIRST)}>\n{_SPED}",
    ),
    "where no bar is": Call(
        _looped((_Step(_LITTLE, 61.0),), bars=()),
        gives=_lines(_compiling("1 of 3", _FIRST), "training: 0.02 steps/s, 2 frames/s, 7 graphs so far"),
    ),
    "counted": Call(_counted(None, 5.0), gives=[["", "compiling, 5.0 s"], [""]]),
    "counted beside the last": Call(_counted(61.0, 5.0), gives=[["", "compiling, 5.0 s of some 1 min 1 s"], [""]]),
}


# -- batches that are uploaded ahead ------------------------------------------------------------------------------


class _Pair(NamedTuple):
    first: Tensor
    second: str


class _Loader:
    """What stands for a DataLoader: it notes how many batches were asked for, and may fail at one."""

    def __init__(self, batches: Iterable[object], fails: int | None = None) -> None:
        self.batches, self.fails, self.asked = list(batches), fails, 0
        self.batch_sampler = "sampler"

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[object]:
        for number, batch in enumerate(self.batches):
            self.asked += 1
            if number == self.fails:
                raise KeyError(f"batch {number}")
            yield batch


def _uploading(run: Callable[[Any, Any], object], device: str = "meta") -> Callable[[Any, Path], object]:
    """A call with the module and its loader of batches of a device, to which an upload adds 1."""

    def call(loaders: Any, folder: Path) -> object:
        told: dict[str, Any] = {"default_device": lambda: torch.device(device), "upload": lambda tensor: tensor + 1}
        with patch.multiple(loaders.utils, **told), patch.dict(os.environ, {"SOVITS_PORT_PROGRESS": "off"}):
            return run(loaders, loaders.DeviceLoader)

    return call


def _nested(loaders: Any, make: Any) -> object:
    one = torch.ones(1)
    (batch,) = make(_Loader([[one, (one, "x"), {"a": one, "b": 3}, _Pair(one, "y")]]))
    return [batch, type(batch[1]).__name__, type(batch[3]).__name__]


def _all(loaders: Any, make: Any) -> object:
    loader = make(_Loader(torch.arange(5.0).unbind()))
    first, second = ([batch.item() for batch in loader] for _ in range(2))
    return {"first": first, "second": second, "length": len(loader), "sampler": loader.batch_sampler}


def _broken_off(loaders: Any, make: Any) -> object:
    """A loop that is left: at most two batches are loaded beyond the one in use."""
    loader = make(_Loader(torch.arange(50.0).unbind()))
    batches = iter(loader)
    first = next(batches)
    ends = time.monotonic() + 200 * _SOON
    while loader.loader.asked < 1 + loaders.AHEAD and time.monotonic() < ends:
        time.sleep(_SOON)
    time.sleep(_SOON)
    asked = loader.loader.asked
    batches.close()
    time.sleep(_SOON)
    return [first, asked, loader.loader.asked <= asked + 1]


def _taken_one_by_one(loaders: Any, make: Any) -> object:
    """Batches before the one that fails come out first."""
    found: list[object] = []
    batches = iter(make(_Loader(torch.arange(5.0).unbind(), fails=3)))
    try:
        while True:
            found.append(next(batches).item())
    except KeyError as error:
        return [found, str(error)]


def _absent(loaders: Any, make: Any) -> object:
    return make(_Loader([])).absent


def _copied(loaders: Any, make: Any) -> object:
    return list(copy.copy(make(_Loader([torch.ones(1)]))))


_UPLOADS = {
    "nested": Call(
        _uploading(_nested),
        gives=[
            [
                torch.full((1,), 2.0),
                (torch.full((1,), 2.0), "x"),
                {"a": torch.full((1,), 2.0), "b": 3},
                _Pair(torch.full((1,), 2.0), "y"),
            ],
            "tuple",
            "_Pair",
        ],
    ),
    "all": Call(
        _uploading(_all),
        gives={
            "first": [1.0, 2.0, 3.0, 4.0, 5.0],
            "second": [1.0, 2.0, 3.0, 4.0, 5.0],
            "length": 5,
            "sampler": "sampler",
        },
    ),
    "on the CPU": Call(
        _uploading(_all, "cpu"),
        gives={
            "first": [0.0, 1.0, 2.0, 3.0, 4.0],
            "second": [0.0, 1.0, 2.0, 3.0, 4.0],
            "length": 5,
            "sampler": "sampler",
        },
    ),
    "broken off": Call(_uploading(_broken_off), gives=[torch.tensor(1.0), 3, True]),
    "one by one": Call(_uploading(_taken_one_by_one), gives=[[1.0, 2.0, 3.0], "'batch 3'"]),
    "copied": Call(_uploading(_copied), gives=[torch.full((1,), 2.0)]),
    "absent": Call(_uploading(_absent), gives="AttributeError: '_Loader' object has no attribute 'absent'"),
}

CASES = (
    host_case(
        "files.loops",
        calling_known("training.progress", _PROGRESS),
        calling_known("training.loader", _UPLOADS),
    ),
)
