"""Noise that depends on where a value stands and not on the shape around it.

Two runs that pad the same batch to different lengths ask for noise of different shapes. Here the value at some
coordinates of the n-th draw of a step is a hash of seed, step, n and the coordinates, so what both runs have gets the
same noise, and padding gets what comes after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from porter.validate.draws import Request
from porter.validate.noise import GivenNoise, NoiseFinding

Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's constants
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_HALF = np.uint64(32)


class NoiseAtPlaces(GivenNoise):
    """Answers each draw of the block with values hashed from their places.

    Draws of a family and a number of dimensions are numbered from 0 in each step: a port may draw its masks before its
    normals, and both sides still share them.
    """

    def __init__(self, seed: int, roots: Sequence[Path] = ()) -> None:
        """`roots` are the folders whose lines count as the origin of a draw."""
        super().__init__(roots)
        self._seed = seed
        self._step = 0
        self.drawn: Counter[str] = Counter()  # draws of the step, by family and number of dimensions

    def begin_step(self, step: int) -> None:
        """Count draws from 0 again, in the step with this number."""
        self._step = step
        self.drawn.clear()

    def findings(self) -> list[NoiseFinding]:
        """Draws that no family here can give."""
        return self._findings.list()

    def answer(self, request: Request) -> Tensor:
        """The base value for a request; a random one, and a finding, for a family that has no place-wise form."""
        words = self._words(request.family, request.shape)
        if request.family == "normal":
            return torch.from_numpy(normal(words)).to(request.dtype)
        if request.family == "uniform":
            return torch.from_numpy(uniform(words)).to(request.dtype)
        if request.family == "exponential":
            return torch.from_numpy(-np.log1p(-uniform(words))).to(request.dtype)
        if request.family == "bernoulli" and request.chance is not None:
            chance = request.chance.cpu().double().expand(request.shape)
            return (torch.from_numpy(uniform(words)) < chance).to(torch.float32)
        if request.family == "integer" and request.bounds is not None:
            low, high = request.bounds
            return torch.from_numpy((words % np.uint64(high - low)).astype(np.int64) + low)
        self.cannot_share(request.family)
        return request.sample()

    def draw_python(self, family: str, draw: Callable[[], float]) -> float:
        """The value for a number below one; a random one, and a finding, for any other draw of Python's own."""
        if family == "uniform":
            return float(uniform(self._words(family, ())))
        self.cannot_share(f"random.{family}")
        return draw()

    def _words(self, family: str, shape: tuple[int, ...]) -> Words:
        kind = f"{family} of {len(shape)} dimensions"
        number = self.drawn[kind]
        self.drawn[kind] += 1
        return hashed((self._seed, self._step, *kind.encode(), number), shape)


def hashed(key: Sequence[int], shape: Sequence[int]) -> Words:
    """A word of 64 bits for each place of `shape`, from the key and its coordinates alone."""
    with np.errstate(over="ignore"):
        words = np.zeros((), np.uint64)
        for part in key:
            words = _mixed(words + np.uint64(part + 1) * _GOLDEN)
        for size in shape:  # one after another, so that (1, 2) is no (2, 1)
            words = _mixed(words[..., None] + np.arange(1, size + 1, dtype=np.uint64) * _GOLDEN)
    return np.asarray(words)


def uniform(words: Words) -> npt.NDArray[np.float64]:
    """Numbers above 0 and below 1, which float32 holds exactly: it must round none of them to 1."""
    return ((words >> np.uint64(41)).astype(np.float64) + 0.5) * 2.0**-23


def normal(words: Words) -> npt.NDArray[np.float64]:
    """Standard normal numbers, by Box and Muller from the two halves of each word."""
    radius = ((words >> _HALF).astype(np.float64) + 0.5) * 2.0**-32
    angle = (words & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
    return np.asarray(np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle))


def _mixed(words: Words) -> Words:
    """SplitMix64's finaliser."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return np.asarray(words ^ (words >> np.uint64(31)))
