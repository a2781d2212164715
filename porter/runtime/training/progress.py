"""What a loop over batches is at: which graph is compiled, since when and how long it took last, or how fast it trains.

Nothing here waits for the device or reads from it. `SOVITS_PORT_PROGRESS=off` silences it.
"""

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import utils
from .files import write
from .plan import BucketedItems, folder_of, padded_frames

Shapes = tuple[tuple[int, ...], ...]

_OFTEN, _SELDOM = 2.0, 60.0  # seconds between lines on a terminal, and where lines are kept
_TICK = 1.0
_MOST = 1000  # graphs whose times are remembered


class _Step(NamedTuple):
    """A step that is under way."""

    shapes: Shapes
    begun: float  # time.monotonic()
    compiles: int  # before it
    is_new: bool  # the first with these shapes


class Progress:
    """Tells on stderr what the loop over one loader is at; of several processes, the first alone does."""

    def __init__(self, dataset: object) -> None:
        items = getattr(dataset, "__getitems__", None)
        buckets = items if isinstance(items, BucketedItems) else None
        self._pads = [padded_frames(upto) for upto in buckets.boundaries[1:]] if buckets is not None else []
        self._tokens = buckets.tokens if buckets is not None else ()
        self._place = str(folder_of(dataset) or "")
        self._seen: set[Shapes] = set()
        self._passes = 0
        self._step: _Step | None = None
        self._told = 0.0  # when the last line about speed was
        self._steps = self._frames = 0  # since then
        self._line = _Line()
        self._times: _Times | None = None
        self._silent: bool | None = None

    def watch(self, batches: Iterator[Any], loader: object) -> Iterator[Any]:
        """The same batches; tells of the step that each is for. `loader` is what a progress bar was given, if any."""
        if self._silent is None:
            self._silent = os.environ.get("SOVITS_PORT_PROGRESS", "").lower() == "off" or utils.process_index() > 0
        self._line.loader = loader
        self._reset()
        try:
            for batch in batches:
                if not self._silent:
                    self._begin(batch)
                yield batch
                if not self._silent:
                    self._end()
            self._passes += 1
        finally:
            self._line.stop()
            self._line.loader = None  # it holds this object
            if hasattr(batches, "close"):
                batches.close()

    def _begin(self, batch: Any) -> None:
        shapes = tuple(_shapes(batch))
        self._step = _Step(shapes, time.monotonic(), utils.compiles(), shapes not in self._seen)
        if not self._step.is_new:
            return
        self._seen.add(shapes)
        self._times = self._times or _Times(self._place)
        last = self._times.of(shapes)
        of = f" of {len(self._pads)}" if len(self._seen) <= len(self._pads) else ""
        expected = f", last time {_lasting(last)}" if last is not None else ""
        what = f"compiling bucket {len(self._seen)}{of}: {self.describe(shapes)}"
        self._line.say(f"{what} (since {time.strftime('%H:%M:%S')}{expected})")
        self._line.count(what, last)

    def _end(self) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        lasted, graphs = time.monotonic() - step.begun, utils.compiles()
        self._line.stop()
        if graphs != step.compiles:
            self._say_compiled(step, lasted, graphs)
            self._reset()  # a step that compiles says nothing of speed
            return
        self._steps += 1
        self._frames += self._padded(step.shapes) * (step.shapes[0][0] if step.shapes and step.shapes[0] else 0)
        now = time.monotonic()
        if now - self._told >= (_OFTEN if self._line.moves else _SELDOM):
            took = now - self._told
            speed = f"{self._steps / took:.2f} steps/s"
            frames = f", {self._frames / took:.0f} frames/s" if self._frames else ""
            self._line.show(f"training: {speed}{frames}, {graphs} graphs so far")
            self._reset()

    def _say_compiled(self, step: _Step, lasted: float, graphs: int) -> None:
        """Tell of a step that compiled, until there were so many graphs: only the first of each shape should."""
        new = graphs - step.compiles
        named = f"{new} graphs" if new > 1 else "a graph"
        if self._passes:
            shapes = _listed(step.shapes)
            self._line.say(
                f"warning: {named} compiled after the first pass over the buckets, in {_lasting(lasted)}, "
                f"for {self.describe(step.shapes)}; shapes {shapes}"
            )
        elif step.is_new and self._times is not None:
            self._times.keep(step.shapes, lasted)
            self._line.say(f"compiled {named} in {_lasting(lasted)}, {graphs} so far")
        else:
            again = f"{named} more" if new > 1 else "another graph"
            self._line.say(f"compiled {again} in {_lasting(lasted)}, for {self.describe(step.shapes)}")

    def _reset(self) -> None:
        self._told, self._steps, self._frames = time.monotonic(), 0, 0

    def _padded(self, shapes: Shapes) -> int:
        """What the frames of a batch are padded to; 0 where that cannot be told."""
        lasts = {shape[-1] for shape in shapes if len(shape) == 3}
        return next((pad for pad in self._pads if pad in lasts), 0)

    def describe(self, shapes: Shapes) -> str:
        """A batch, in the words of buckets where there are some."""
        frames = self._padded(shapes)
        size = shapes[0][0] if shapes and shapes[0] else 0
        if not frames:
            return f"batches of {_listed(shapes)}"
        tokens = self._tokens[self._pads.index(frames)]
        return f"{size} clips of {frames} frames" + (f" and {tokens} phones" if tokens else "")


def _shapes(value: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of all tensors of a batch."""
    if isinstance(value, torch.Tensor):
        yield tuple(value.shape)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _shapes(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _shapes(item)


def _listed(shapes: Shapes) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in dict.fromkeys(shapes))


def _lasting(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


class _Line:
    """Lines on stderr, around whatever progress bars of tqdm are there; on a terminal one line that changes."""

    def __init__(self) -> None:
        self.loader: object = None
        self._shown = 0  # letters that the changing line has
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None

    @property
    def moves(self) -> bool:
        """Whether lines may be written over."""
        return bool(sys.stderr.isatty())

    def say(self, text: str) -> None:
        """A line that stays."""
        self._wipe()
        bar = _tqdm()
        if bar is not None and getattr(bar, "_instances", None):
            bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def show(self, text: str) -> None:
        """A line that the next one may take the place of: behind the loader's progress bar, if it has one."""
        if not self.moves:
            self.say(text)
            return
        bars = [bar for bar in getattr(_tqdm(), "_instances", ()) if getattr(bar, "iterable", None) is self.loader]
        if bars:
            bars[0].set_postfix_str(text)
            return
        self._wipe()
        print(text, end="", file=sys.stderr, flush=True)
        self._shown = len(text)

    def count(self, what: str, expected: float | None) -> None:
        """Show how long something lasts, until `stop`; nothing where lines stay."""
        if not self.moves:
            return
        begun = time.monotonic()
        self._over.clear()

        def tick() -> None:
            while not self._over.wait(_TICK):
                some = f" of some {_lasting(expected)}" if expected is not None else ""
                self.show(f"{what}, {_lasting(time.monotonic() - begun)}{some}")

        self._ticker = threading.Thread(target=tick, name="progress", daemon=True)
        self._ticker.start()

    def stop(self) -> None:
        """End counting."""
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None
            self._wipe()

    def _wipe(self) -> None:
        if self._shown:
            print("\r" + " " * self._shown + "\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


def _tqdm() -> Any:
    """The class of tqdm's bars, where somebody has imported it."""
    return getattr(sys.modules.get("tqdm"), "tqdm", None)


class _Times:
    """How long graphs took to compile when a dataset was trained last, in the folder of what is kept between runs."""

    def __init__(self, place: str) -> None:
        folder = utils.cache_folder("times")
        self._path = folder / "compile.json" if folder is not None else None
        self._place = str(Path(place).resolve()) if place else ""
        self._kept = self._read()

    def of(self, shapes: Shapes) -> float | None:
        """Seconds."""
        return self._kept.get(self._key(shapes))

    def keep(self, shapes: Shapes, seconds: float) -> None:
        """Remember; where that cannot be written, it is not."""
        if self._path is None:
            return
        key = self._key(shapes)
        kept = {name: value for name, value in self._read().items() if name != key}
        self._kept = dict([*kept.items(), (key, round(seconds, 1))][-_MOST:])
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write(json.dumps(self._kept).encode(), self._path)

    def _read(self) -> dict[str, float]:
        try:
            told = json.loads(self._path.read_bytes()) if self._path is not None else {}
        except (OSError, ValueError):
            return {}
        found = told.items() if isinstance(told, dict) else ()
        return {key: float(value) for key, value in found if isinstance(value, (int, float))}

    def _key(self, shapes: Shapes) -> str:
        kind = "TPU" if utils.on_tpu() else "CPU"
        return hashlib.sha256(repr((self._place, sys.argv[0], kind, shapes)).encode()).hexdigest()[:32]
