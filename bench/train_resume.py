"""Whether training survives what happens to it: kill -9, and a change between upstream and the port.

    python bench/train_resume.py UPSTREAM [--version v2] [--device cpu|xla] [--kills 5] [--generated DIR] [--keep DIR]

On a small model:
- Kills: the port's trainer is killed in the middle of an epoch, and again while it writes checkpoints, `--kills` times
  each. After each kill every checkpoint loads and G and D are of one epoch; the run that follows goes on from there.
- Exchange: upstream's trainer goes on from the port's checkpoints and the port's from upstream's, and both log what the
  other would have logged.
- Speech: weights that the port exported for synthesis speak in upstream's own classes, and upstream's in the port's:
  the same sound from both.

Exit status 1 where any of it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.training.comparing import CLOSE, relative
from bench.training.layout import Side, lay_out_upstream, port_side
from bench.training.running import ROOT, Conditions, Run, read_log, run_side
from bench.training.workplace import STEPS_AN_EPOCH, Workplace, prepare_workplace
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place

_EPOCHS = 3


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    name: str
    told: str
    passed: bool


@dataclass(frozen=True)
class Scene:
    """Both sides, and where they run."""

    upstream: Side
    port: Side
    workplace: Workplace
    conditions: Conditions  # of the port
    timeout: float

    def config(self, name: str, epochs: int = _EPOCHS, after: Run | None = None) -> Path:
        """A configuration that saves after each epoch, checkpoints and weights for synthesis."""
        steps = epochs * STEPS_AN_EPOCH
        return self.workplace.config(
            name, steps, after=after, log_interval=1, save_every_epoch=1, if_save_every_weights=True
        )

    def run(
        self, side: Side, config: Path, kill_when: Callable[[], bool] | None = None, like: Run | None = None
    ) -> Run:
        """Run a side; upstream is always on the CPU. Batches are padded like those of another run, if one is given."""
        conditions = self.conditions if side is self.port else Conditions(seed=self.conditions.seed)
        if like is not None:
            conditions = replace(conditions, like={step.number: step.shapes for step in like.steps})
        run = run_side(side, config, conditions, self.timeout, kill_when)
        print(f"{config.parent.name}: {side.trainer}, status {run.status}, {run.seconds:.0f} s", file=sys.stderr)
        return run


def main() -> int:
    """Try everything, print; status 1 where something failed, 2 for unusable input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--version", default="v2", help="of the model (default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "xla"), default="cpu", help="of the port (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=5, help="how many of each kind (default: %(default)s)")
    parser.add_argument("--generated", type=Path, help="a package that is there already (default: a new one)")
    parser.add_argument("--keep", type=Path, help="a folder for all that is made (default: one that is removed)")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds a run (default: %(default)s)")
    told = parser.parse_args()
    try:
        with ExitStack() as stack:
            folder = told.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-resume-")))
            checks = list(_checks(_scene(told, folder.resolve()), told.kills))
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table("tried", "found", "")
    for check in checks:
        table.add_row(check.name, check.told, "ok" if check.passed else "FAILED")
    Console().print(table)
    return int(not all(check.passed for check in checks))


def _scene(told: argparse.Namespace, folder: Path) -> Scene:
    snapshot = open_upstream(told.upstream)
    conditions = Conditions(device=told.device)
    upstream = lay_out_upstream(snapshot, folder / "sources")
    generated = told.generated
    if generated is None:
        generated = folder / "generated"
        generate(snapshot, Place(generated), Settings())
    workplace = prepare_workplace(folder, upstream, told.version, Conditions(), told.timeout, warm_steps=0)
    return Scene(upstream, port_side(upstream, generated.resolve()), workplace, conditions, told.timeout)


def _checks(scene: Scene, kills: int) -> Iterator[Check]:
    whole = scene.run(scene.port, scene.config("whole"))
    yield Check("a run of three epochs", f"status {whole.status}, {len(whole.log)} steps", whole.status == 0)
    yield from _killed(scene, kills, whole)
    yield from _exchanged(scene)
    yield from _speech(scene, whole)


def _killed(scene: Scene, kills: int, whole: Run) -> Iterator[Check]:
    for number in range(kills):
        config = scene.config(f"killed in an epoch {number}")
        log = config.parent / "exp" / "train.log"
        wanted = STEPS_AN_EPOCH + 2 + number * (STEPS_AN_EPOCH - 3) // max(1, kills)
        yield from _resumed(scene, config, whole, partial(_has_logged, log, wanted))
    for number in range(kills):
        config = scene.config(f"killed while saving {number}")
        saving = _Saving(config.parent / "exp" / f"logs_s2_{scene.workplace.version}", 0.03 * number)
        yield from _resumed(scene, config, whole, saving)


def _resumed(scene: Scene, config: Path, whole: Run, kill_when: Callable[[], bool]) -> Iterator[Check]:
    name = config.parent.name
    first = scene.run(scene.port, config, kill_when)
    if first.status == 0:
        yield Check(name, "the run was over before it could be killed", False)
        return
    epochs = _epochs(first)
    if len(set(epochs.values())) > 1:
        yield Check(name, f"checkpoints of different epochs: {epochs}", False)
        return
    second = scene.run(scene.port, config)
    again = [line.step for line in second.log[len(first.log) :]]
    start = epochs.get("G", 0) * STEPS_AN_EPOCH
    fine = second.status == 0 and again == list(range(start, len(whole.log)))
    left = sorted(path.name for path in second.folder.rglob(".saving-*"))
    told = f"killed after {len(first.log)} steps, went on from step {start} to {again[-1] if again else 'nowhere'}"
    yield Check(name, told + (f"; left behind: {left}" if left else ""), fine and not left)


def _exchanged(scene: Scene) -> Iterator[Check]:
    for maker in (scene.port, scene.upstream):
        first = scene.run(maker, scene.config(f"made by {maker.name}", 1))
        port = scene.run(scene.port, scene.config(f"{maker.name}, then port", 2, first))
        upstream = scene.run(scene.upstream, scene.config(f"{maker.name}, then upstream", 2, first), like=port)
        failed = [run for run in (port, upstream) if run.status]
        if failed:
            yield Check(f"checkpoints of {maker.name}, and both go on", failed[0].tail(), False)
            continue
        pairs = list(zip(upstream.log, port.log, strict=True))
        apart = max(relative(a.losses[name], b.losses[name]) for a, b in pairs for name in a.losses)
        steps = [a.step for a, _ in pairs]
        fine = apart <= CLOSE and steps == list(range(STEPS_AN_EPOCH, 2 * STEPS_AN_EPOCH))
        told = f"steps {steps[0]} to {steps[-1]}, worst difference of a loss between the two {apart:.1e}"
        yield Check(f"checkpoints of {maker.name}, and both go on", told, fine)


def _speech(scene: Scene, whole: Run) -> Iterator[Check]:
    upstream = scene.run(scene.upstream, scene.config("upstream's weights", 1))
    for maker, run in (("port", whole), ("upstream", upstream)):
        weights = sorted((run.folder / "weights").glob("*.pth"))[-1]
        sounds = {side.name: _speak(side, weights, run.folder) for side in (scene.upstream, scene.port)}
        one, other = sounds["upstream"], sounds["port"]
        loud = float(one.abs().max())
        fine = one.shape == other.shape and torch.equal(one, other) and 0 < loud < float("inf")
        told = f"{one.numel()} samples, loudest {loud:.2f}, " + ("equal" if torch.equal(one, other) else "different")
        yield Check(f"weights of {maker} speak in both", told, fine)


def _speak(side: Side, weights: Path, folder: Path) -> torch.Tensor:
    """What a side's synthesizer says, with some text and one clip of the dataset as its voice."""
    target = folder / f"{side.name}.sound.pt"
    order = {"do": "speak", "package": side.package, "search": side.search, "weights": str(weights)}
    place = folder / "speak.json"
    place.write_text(json.dumps({**order, "target": str(target)}), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SOVITS_PORT_DEVICE": "cpu"}
    command = [sys.executable, "-m", "bench.training.program", str(place)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise PortError(f"{weights.name} does not speak in {side.package}: {ended.stderr.strip().splitlines()[-1:]}")
    sound: torch.Tensor = torch.load(target, weights_only=True)
    return sound


def _epochs(run: Run) -> dict[str, int]:
    """The epoch of the newest checkpoint of each network; loading it is part of the check."""
    return {
        network: int(torch.load(found[max(found)], map_location="cpu", weights_only=True)["iteration"])
        for network, found in run.checkpoints.items()
        if found
    }


def _has_logged(log: Path, steps: int) -> bool:
    return sum(1 for _ in read_log(log)) >= steps


class _Saving:
    """Says yes some time after a checkpoint began to be written."""

    def __init__(self, folder: Path, after: float) -> None:
        """`after` seconds after the first file of a checkpoint appears in `folder`."""
        self._folder, self._after = folder, after
        self._began: float | None = None

    def __call__(self) -> bool:
        """Whether it is time."""
        if self._began is None:
            if not any(self._folder.glob(".saving-*")):
                return False
            self._began = time.monotonic()
        return time.monotonic() - self._began >= self._after


if __name__ == "__main__":
    sys.exit(main())
