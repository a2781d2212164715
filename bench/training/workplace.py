"""A folder in which runs are prepared: one dataset, one set of start weights, and a place of its own for each run."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.training.layout import Side
from bench.training.running import Conditions, Run, make_start, run_side
from porter.errors import PortError
from tests.training_set import make_dataset, write_config

BATCH = 4
CLIPS = 34
"""Upstream repeats the clips of a dataset below 100, and 34 the least: 68 entries an epoch."""
STEPS_AN_EPOCH = 68 // BATCH
ALONE = ("v3", "v4")
"""Versions whose generator is trained without a discriminator."""

_SECONDS = (0.8, 2.6)
_VECTORS = ("weight_v", "parametrizations.weight.original1")  # of weight norm, in either form
_LONGER = 8
_SEGMENT = 2560  # samples that the decoder makes in a step


@dataclass(frozen=True)
class Workplace:
    """What all runs of a comparison share."""

    folder: Path
    version: str
    start: Mapping[str, Path]  # files of start weights, by network: G, and D where one is trained

    def config(
        self, name: str, steps: int, *, after: Run | None = None, model: Mapping[str, Any] | None = None, **train: Any
    ) -> Path:
        """The configuration of a run of `steps`, rounded up to whole epochs, in a folder of its own.

        `after` is a run whose checkpoints are there, so that it is resumed; `train` changes single values. One
        checkpoint is saved, after the last epoch.
        """
        place = self.folder / "runs" / name
        shutil.rmtree(place, ignore_errors=True)
        exp_dir = place / "exp"
        exp_dir.mkdir(parents=True)
        for path in sorted((self.folder / "data").iterdir()):
            (exp_dir / path.name).symlink_to(path)
        epochs = math.ceil(steps / STEPS_AN_EPOCH)
        own = {
            "batch_size": BATCH,
            "segment_size": _SEGMENT,
            "epochs": epochs,
            "save_every_epoch": epochs,
            **{f"pretrained_s2{network}": str(path) for network, path in self.start.items()},
        }
        write_config(place / "config.json", exp_dir, version=self.version, train={**own, **train}, model=model)
        for found in after.checkpoints.values() if after is not None else ():
            for path in found.values():
                shutil.copyfile(path, exp_dir / f"logs_s2_{self.version}" / path.name)
        return place / "config.json"


def prepare_workplace(
    folder: Path, side: Side, version: str, conditions: Conditions, timeout: float, warm_steps: int = 51
) -> Workplace:
    """Make dataset and start weights in `folder`, the weights with `side`'s classes and trainer. PortError if it fails.

    Upstream starts from weights of a long training. Fresh ones fall through their first steps so fast that rounding
    grows by half in each, and after 50 no two runs are within 1e-3. So `side` trains `warm_steps` first, and the
    vectors under weight norm are made longer, as a long training makes them: that changes nothing that a network
    computes, and makes a learning rate a smaller part of them.
    """
    data, start = folder / "data", folder / "start"
    make_dataset(data, clips=CLIPS, seconds=_SECONDS, seed=conditions.seed, version=version)
    start.mkdir(parents=True)
    write_config(start / "config.json", start / "exp", version=version, train={"segment_size": _SEGMENT})
    made = make_start(side, start / "config.json", conditions, start, timeout, alone=version in ALONE)
    fresh = Workplace(folder, version, made)
    if not warm_steps:
        return fresh
    warm = run_side(side, fresh.config("warm", warm_steps), conditions, timeout)
    if warm.status:
        raise PortError(f"the {side.name} trainer failed; {warm.tail()}")
    places = {}
    for network, path in fresh.start.items():
        weights = torch.load(warm.last_checkpoint(network), weights_only=True)["model"]
        for name, value in weights.items():
            if name.endswith(_VECTORS):
                value.mul_(_LONGER)
        places[network] = path.with_stem(f"{path.stem}_warm")
        torch.save({"weight": weights}, places[network])
    return Workplace(folder, version, places)
