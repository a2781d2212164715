"""How far two runs of trainers are apart: what they logged at each step, and the parameters that they end with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.training.running import Run, read_scalars
from porter.validate.compare import Array, rms, snr_db

CLOSE = 1e-3
"""How far a logged loss may be from the reference's, as a part of it."""
LEAST_DB = 60.0
"""Least signal-to-noise ratio of the parameters at the end."""


@dataclass(frozen=True)
class LossDifference:
    """One logged loss over all steps."""

    name: str
    worst: float  # largest difference, as a part of the reference's value
    step: int  # where that is
    middle: float  # median over the steps

    @property
    def passed(self) -> bool:
        """Whether it is close at each step."""
        return self.worst <= CLOSE


@dataclass(frozen=True)
class TensorDifference:
    """One tensor of a checkpoint."""

    name: str
    db: float  # signal-to-noise ratio, infinite where equal
    size: float  # rms of the reference's values
    moved_db: float  # the same ratio with what training changed as the signal, nan without start weights


@dataclass(frozen=True)
class NetworkDifference:
    """All floating tensors of one network's checkpoint."""

    network: str  # G or D
    db: float  # over all values together
    moved_db: float
    tensors: tuple[TensorDifference, ...]  # lowest ratio first
    problems: tuple[str, ...]  # tensors that cannot be compared, or integers that differ

    @property
    def passed(self) -> bool:
        """Whether all values together are close enough."""
        return not self.problems and self.db >= LEAST_DB


@dataclass(frozen=True)
class Difference:
    """A run against its reference."""

    steps: int  # logged by both
    losses: tuple[LossDifference, ...]
    networks: tuple[NetworkDifference, ...]
    problems: tuple[str, ...]  # in sentences

    @property
    def passed(self) -> bool:
        """Whether every figure meets its mark."""
        alike = [*(loss.passed for loss in self.losses), *(network.passed for network in self.networks)]
        return not self.problems and all(alike)


def compare_runs(reference: Run, other: Run, start: Mapping[str, Path] | None = None) -> Difference:
    """Compare two runs that are over; `start` are files of start weights by network, `G` and `D`.

    Losses are those of the log file and of TensorBoard. PortError where a run left no checkpoint.
    """
    problems = list(_problems(reference, other))
    ours, theirs = _losses(reference), _losses(other)
    losses = [_loss(name, values, theirs[name]) for name, values in ours.items() if name in theirs]
    problems += [f"only one run logged {name}" for name in sorted(ours.keys() ^ theirs.keys())]
    if not losses:
        problems.append("no loss was logged by both")
    networks = [
        compare_networks(
            network,
            read_weights(reference.last_checkpoint(network)),
            read_weights(other.last_checkpoint(network)),
            read_weights(start[network]) if start else {},
        )
        for network in sorted(start if start else ("D", "G"), reverse=True)
    ]
    return Difference(len(reference.log), tuple(losses), tuple(networks), tuple(problems))


def compare_networks(
    network: str, old: Mapping[str, Array], new: Mapping[str, Array], start: Mapping[str, Array]
) -> NetworkDifference:
    """Compare two state dictionaries, tensor by tensor and over all values together."""
    problems = [f"only one side has {name}" for name in sorted(old.keys() ^ new.keys())]
    tensors = []
    noise = signal = movement = 0.0
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            continue
        if before.shape != after.shape or before.dtype != after.dtype:
            problems.append(f"{name} is {after.dtype} {list(after.shape)}, not {before.dtype} {list(before.shape)}")
        elif before.dtype.kind != "f":
            if not np.array_equal(before, after):
                problems.append(f"integers of {name} differ")
        else:
            moved = rms(before.astype(np.float64) - start[name]) if name in start else math.nan
            db, moved_db = _db(snr_db(before, after)), _db(snr_db(before, after, moved))
            tensors.append(TensorDifference(name, db, rms(before), moved_db))
            signal += rms(before) ** 2 * before.size
            movement += moved**2 * before.size
            noise += rms(after.astype(np.float64) - before) ** 2 * before.size
    tensors.sort(key=lambda tensor: tensor.db)
    return NetworkDifference(
        network, _power_db(signal, noise), _power_db(movement, noise), tuple(tensors), tuple(problems)
    )


def read_weights(path: Path) -> dict[str, Array]:
    """Tensors of a checkpoint of training, or of a file of start weights, as numpy arrays."""
    told: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    weights = told["model"] if "model" in told else told["weight"]
    return {name: value.detach().numpy() for name, value in weights.items()}


def relative(old: float, new: float) -> float:
    """Difference as a part of the old value: 0 for equal values, infinite where a value is not finite, or from 0."""
    if old == new:
        return 0.0
    if not math.isfinite(old) or not math.isfinite(new) or old == 0:
        return math.inf
    return abs(new - old) / abs(old)


def _problems(reference: Run, other: Run) -> Iterable[str]:
    for run in (reference, other):
        if run.status:
            yield f"the {run.side.name} trainer ended with status {run.status}; {run.tail()}"
        yield from (f"{run.side.name}: {text}" for text in sorted({t for step in run.steps for t in step.unshared}))
    if [line.step for line in reference.log] != [line.step for line in other.log]:
        yield f"{len(reference.log)} steps were logged by one run and {len(other.log)} by the other, or other ones"
    for one, two in zip(reference.log, other.log, strict=False):
        if one.rate != two.rate:
            yield f"the learning rate of step {one.step} is {two.rate}, not {one.rate}"
            break
    for ours, theirs in zip(reference.steps, other.steps, strict=False):
        if ours.draws != theirs.draws:
            yield f"step {ours.number} draws {dict(theirs.draws)}, not {dict(ours.draws)}"
            break


def _losses(run: Run) -> dict[str, dict[int, float]]:
    """Values by step, by name."""
    result: dict[str, dict[int, float]] = {}
    for line in run.log:
        for name, value in line.losses.items():
            result.setdefault(name, {})[line.step] = value
    shown = read_scalars(run.folder)
    result |= {tag: values for tag, values in shown.items() if tag.startswith(("loss/", "learning_rate"))}
    return result


def _loss(name: str, old: Mapping[int, float], new: Mapping[int, float]) -> LossDifference:
    found = {step: relative(value, new.get(step, math.nan)) for step, value in old.items()}
    worst = max(found, key=lambda step: found[step])
    return LossDifference(name, found[worst], worst, float(np.median(list(found.values()))))


def _db(ratio: float | None) -> float:
    return math.inf if ratio is None else ratio


def _power_db(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def worst(tensors: Sequence[TensorDifference], count: int) -> str:
    """The tensors with the lowest ratios, in one line."""
    return ", ".join(f"{tensor.name} {tensor.db:.1f} dB" for tensor in tensors[:count])
