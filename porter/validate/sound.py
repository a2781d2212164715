"""Results that can be listened to: one sample of the batch, upstream's and the port's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from porter.validate.compare import Arrays

Wave = npt.NDArray[np.float64]

_MOST_SECONDS = 10


@dataclass(frozen=True, eq=False)
class Sound:
    """One sound as both sides made it: float64 (samples,), finite, 1.0 being full scale."""

    name: str  # of the result
    rate: int  # samples per second
    sample: int  # which of the batch: the one that is furthest off
    batch: int  # how many there were
    upstream: Wave
    port: Wave | None  # None where the port has no such result

    @property
    def difference(self) -> Wave | None:
        """The port's less upstream's, None where their lengths differ."""
        if self.port is None or self.port.shape != self.upstream.shape:
            return None
        return self.port - self.upstream


def sounds(audio: Mapping[str, int], reference: Arrays, port: Arrays) -> tuple[Sound, ...]:
    """The results named in `audio`, (batch, …, samples) or (samples,), with their samples per second."""
    there = {name: rate for name, rate in audio.items() if name in reference and reference[name].size}
    return tuple(_sound(name, rate, reference[name], port.get(name)) for name, rate in there.items())


def _sound(name: str, rate: int, reference: npt.NDArray[Any], port: npt.NDArray[Any] | None) -> Sound:
    old = _samples(reference, rate)
    new = None if port is None or port.size == 0 else _samples(port, rate)
    chosen = 0
    if new is not None and new.shape == old.shape and old.size:
        chosen = int(np.argmax(np.abs(new - old).max(axis=1)))
    other = None if new is None else new[min(chosen, len(new) - 1)]
    return Sound(name, rate, chosen, len(old), old[chosen], other)


def _samples(value: npt.NDArray[Any], rate: int) -> Wave:
    """(batch, samples), no longer than a page should carry."""
    rows = value.reshape(value.shape[0], -1) if value.ndim > 1 else value.reshape(1, -1)
    return np.nan_to_num(rows[:, : _MOST_SECONDS * rate].astype(np.float64), posinf=0.0, neginf=0.0)
