"""Batches on the device before the loop asks for them."""

import copy
import queue
import threading
from collections.abc import Iterator
from typing import Any

import torch

from .. import utils
from .progress import Progress

AHEAD = 2  # batches beyond the one in use


class DeviceLoader:
    """Wraps a DataLoader; its batches come out on the device, their first axis divided over the replicas.

    A batch is any nesting of tuples, lists and dicts; what is no tensor stays as it is. Batches are loaded and
    uploaded in the background, at most two ahead of the loop; leaving the loop stops that. An error of the
    loader comes out in the loop, after the batches before it. On the CPU the batches are the loader's own.
    All other attributes, such as `batch_sampler` and `dataset`, are the loader's.
    What the loop is at is told on stderr (`progress.py`).
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._progress: Progress | None = None

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        if name in ("loader", "_progress"):  # not set yet: a copy is being made
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        # Here and not in the thread: workers fork from this thread, and seeds are drawn in the loop's order.
        batches: Iterator[Any] = iter(self.loader)
        if utils.default_device().type == "cpu":
            return batches
        self._progress = self._progress or Progress(getattr(self.loader, "dataset", None))
        return self._progress.watch(_in_background(batches), self)


class _Background:
    """A thread that uploads batches, and stops when told to."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._room = threading.Semaphore(AHEAD)
        self._stopping = False
        self._arrived: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="upload", daemon=True)
        self._thread.start()

    def next(self) -> Any:
        """The next batch; raises what the loader raised, StopIteration at its end."""
        batch, error = self._arrived.get()
        self._room.release()
        if error is not None:
            raise error
        return batch

    def stop(self) -> None:
        """Ends the thread, after the batch that it is at."""
        self._stopping = True
        self._room.release()
        self._thread.join()

    def _work(self) -> None:
        try:
            while self._room.acquire() and not self._stopping:
                self._arrived.put((_uploaded(next(self._batches)), None))
        except BaseException as error:  # whatever a dataset raises is the loop's to see
            self._arrived.put((None, error))


def _in_background(batches: Iterator[Any]) -> Iterator[Any]:
    background = _Background(batches)
    try:
        while True:
            try:
                batch = background.next()
            except StopIteration:
                return
            yield batch
    finally:
        background.stop()


def _uploaded(batch: Any) -> Any:
    """The same nesting, with its tensors on the device."""
    if isinstance(batch, torch.Tensor):
        return utils.upload(batch)
    if isinstance(batch, dict):
        uploaded = copy.copy(batch)
        uploaded.update((key, _uploaded(value)) for key, value in batch.items())
        return uploaded
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(_uploaded, batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map(_uploaded, batch))
    return batch
