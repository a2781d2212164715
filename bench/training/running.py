"""Running one side's trainer to its end, in a process of its own, and reading what it left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.training.layout import Side
from porter.errors import PortError
from porter.validate.environment import child_environment

ROOT = Path(__file__).resolve().parents[2]
LOSSES = ("disc", "gen", "fm", "mel", "kl_ssl", "kl")
"""What s2_train.py logs, in its order; then come step and learning rate."""

_PROGRAM = "bench.training.program"
_LOGGED = re.compile(r"\[(?P<values>[^\[\]]*,[^\[\]]*)\]$")
_CHECKPOINT = re.compile(r"(?P<network>[GD])_(?P<step>\d+)\.pth")
_LOOK = 0.02  # seconds between two looks at a process
_TAIL = 15  # lines of what a process said last


@dataclass(frozen=True)
class Logged:
    """What a trainer logged for one step."""

    step: int
    losses: Mapping[str, float]
    rate: float  # learning rate


@dataclass(frozen=True)
class Step:
    """What one step was, as the process itself noted it."""

    number: int
    seconds: float
    shapes: tuple[tuple[int, ...], ...]  # of the batch's tensors
    draws: Mapping[str, int]  # random draws, by family and number of dimensions
    figures: Mapping[str, int]  # what it cost on XLA, see `porter.validate.counting.figures`; empty on the CPU
    unshared: tuple[str, ...]  # draws, up to this step, whose values the sides do not share


@dataclass(frozen=True)
class Run:
    """A trainer's run, over or killed."""

    side: Side
    status: int  # exit status, negative for a signal
    seconds: float
    folder: Path  # exp_dir
    log: tuple[Logged, ...]
    steps: tuple[Step, ...]
    output: str

    @property
    def checkpoints(self) -> dict[str, dict[int, Path]]:
        """Training checkpoints by network, `G` or `D`, and by the number in their names."""
        found: dict[str, dict[int, Path]] = {"G": {}, "D": {}}
        for path in sorted(self.folder.glob("logs_s2_*/*.pth")):
            match = _CHECKPOINT.fullmatch(path.name)
            if match:
                found[match["network"]][int(match["step"])] = path
        return found

    def last_checkpoint(self, network: str) -> Path:
        """The checkpoint of `G` or `D` with the highest number. PortError where there is none."""
        found = self.checkpoints[network]
        if not found:
            raise PortError(f"the {self.side.name} trainer left no checkpoint {network}_*.pth; {self.tail()}")
        return found[max(found)]

    def tail(self) -> str:
        """What the process said last."""
        return "it said last:\n" + "\n".join(self.output.strip().splitlines()[-_TAIL:])


@dataclass(frozen=True)
class Conditions:
    """What a run gets beside its configuration."""

    seed: int = 0  # of the noise
    device: str = "cpu"  # cpu or xla
    replicas: int = 1  # devices
    double: bool = False  # compute in float64
    narrow: int = 4  # how many times fewer channels the discriminators have
    scripts: bool = False  # leave what upstream scripts to TorchScript, whose gradients round unlike torch's own
    plain: bool = False  # nothing of the trainer is changed: its widths, and noise of its own
    extra_frames: int = 0  # more padding than the trainer's own, even
    like: Mapping[int, Sequence[Sequence[int]]] = field(default_factory=dict)  # pad to these shapes, by step
    environment: Mapping[str, str] = field(default_factory=dict)


def run_side(
    side: Side,
    config: Path,
    conditions: Conditions,
    timeout: float,
    kill_when: Callable[[], bool] | None = None,
) -> Run:
    """Run a side's trainer with the configuration file `config` until it ends; what it left.

    `kill_when` is asked all the time, and the process gets SIGKILL once it says yes. PortError where the run takes
    longer than `timeout` seconds. A run that failed is a result, with its status and output.
    """
    told = json.loads(config.read_text(encoding="utf-8"))
    folder = Path(told["data"]["exp_dir"])
    steps = config.with_suffix(".steps.jsonl")
    steps.unlink(missing_ok=True)
    order = {
        "do": "train",
        "trainer": side.trainer,
        "package": side.package,
        "search": side.search,
        "config": str(config),
        "seed": conditions.seed,
        "xla": conditions.device == "xla",
        "steps": str(steps),
        "plain": conditions.plain,
        "double": conditions.double,
        "narrow": conditions.narrow,
        "extra_frames": conditions.extra_frames,
        "like": {str(number): shapes for number, shapes in conditions.like.items()},
    }
    started = time.monotonic()
    status, output = _run(order, config, _environment(conditions), timeout, kill_when)
    seconds = time.monotonic() - started
    return Run(side, status, seconds, folder, tuple(read_log(folder / "train.log")), tuple(_steps(steps)), output)


def make_start(
    side: Side, config: Path, conditions: Conditions, folder: Path, timeout: float, alone: bool = False
) -> dict[str, Path]:
    """Start weights, made by a side's own classes: their files by network, `G` and `D`, or the generator `alone`."""
    places = {"G": folder / "start_G.pth"} | ({} if alone else {"D": folder / "start_D.pth"})
    keys = {"G": "generator", "D": "discriminator"}
    order = {
        "do": "start",
        "package": side.package,
        "search": side.search,
        "config": str(config),
        "seed": conditions.seed,
        "narrow": conditions.narrow,
        **{keys[network]: str(place) for network, place in places.items()},
    }
    status, output = _run(order, config, _environment(replace(conditions, device="cpu")), timeout, None)
    if status:
        raise PortError(f"start weights could not be made: {output.strip().splitlines()[-1:]}")
    return places


def read_log(path: Path) -> Iterator[Logged]:
    """The lines of a `train.log` that hold losses; none where there is no such file."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LOGGED.fullmatch(line.rpartition("\t")[2])
        if match is None:
            continue
        *losses, step, rate = (float(value) for value in match["values"].split(","))
        names = LOSSES if len(losses) == len(LOSSES) else [f"loss {number}" for number in range(1, len(losses) + 1)]
        yield Logged(int(step), dict(zip(names, losses, strict=True)), rate)


def read_scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of a folder: values by step, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def _steps(path: Path) -> Iterator[Step]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        shapes = tuple(tuple(shape) for shape in told["shapes"])
        yield Step(told["step"], told["seconds"], shapes, told["draws"], told["figures"], tuple(told["unshared"]))


def _environment(conditions: Conditions) -> dict[str, str]:
    result = child_environment(conditions.device, quick=True)
    result["PYTHONPATH"] = str(ROOT)
    result["PYTHONHASHSEED"] = "0"
    result["PYTORCH_JIT"] = str(int(conditions.scripts))
    if conditions.device == "cpu":
        result["SOVITS_PORT_DEVICE"] = "cpu"
    else:
        result["CPU_NUM_DEVICES"] = str(conditions.replicas)
    return {**result, **conditions.environment}


def _run(
    order: Mapping[str, Any],
    config: Path,
    environment: Mapping[str, str],
    timeout: float,
    kill_when: Callable[[], bool] | None,
) -> tuple[int, str]:
    """Exit status and output of a process that does what the order says."""
    file, log = config.with_suffix(f".{order['do']}.order"), config.with_suffix(f".{order['do']}.out")
    file.write_text(json.dumps(order), encoding="utf-8")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(file)],
            cwd=config.parent,  # upstream saves to the current folder before it moves a file to its place
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    late = time.monotonic() + timeout
    try:
        while process.poll() is None:
            if kill_when is not None and kill_when():
                break
            if time.monotonic() > late:
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_TAIL:]
                raise PortError(
                    f"{order.get('trainer', 'the run')} took longer than {timeout:.0f} s: " + "\n".join(said)
                )
            time.sleep(_LOOK)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the workers of its loader
        process.wait()
    return process.returncode, log.read_text(encoding="utf-8", errors="replace")
