"""What the first steps of the ported trainer cost at upstream's own sizes: seconds and memory.

    python bench/train_full.py UPSTREAM [--batch 2] [--steps 1] [--precision float32|bfloat16] [--seconds 0.8,1.9]
                               [--limit 22] [--timeout 3000] [--keep DIR]

The emitted s2_train.py runs with upstream's `configs/s2.json`, in which only folders, batch size and intervals are
changed, on a dataset of tones: generator and discriminator, forward, backward and both optimizers, on the XLA device
that there is. It is ended after `--steps`. Exit status 1 where it fails, or takes more than `--limit` GiB.

Peak memory is the most that each process held; pages that workers share with the main process count for both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.training.layout import Side, lay_out_upstream, port_side
from bench.training.running import Conditions, read_log, run_side
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place
from tests.training_set import make_dataset

_CLIPS = 34
_VERSION = "v2"
_GIB = 2**30


def main() -> int:
    """Train, print; status 1 where it fails or needs too much, 2 for unusable input."""
    told = _arguments()
    try:
        with ExitStack() as stack:
            folder = told.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-full-")))
            return _measure(told, folder.resolve())
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


class Watch:
    """Looks at a running trainer: what it logged and when, and how much memory its processes hold."""

    def __init__(self, log: Path, steps: int, limit: float) -> None:
        """`log` is the trainer's own; it is to be ended after `steps`, or above `limit` GiB."""
        self._log, self._steps, self._limit = log, steps, limit
        self._started = time.monotonic()
        self.logged: list[float] = []  # seconds from the start
        self.peak = 0.0  # GiB, of the main process
        self.workers: dict[int, float] = {}  # the same, by process
        self.over = ""  # why it was ended

    def __call__(self) -> bool:
        """Look once; whether to end the trainer."""
        for depth, process in _descendants():
            held = _peak(process)
            if depth == 0:
                self.peak = max(self.peak, held)
            elif held:
                self.workers[process] = held
        done = sum(1 for _ in read_log(self._log))
        self.logged += [time.monotonic() - self._started] * (done - len(self.logged))
        if done >= self._steps:
            self.over = "steps"
        elif self.peak > self._limit:
            self.over = "memory"
        return bool(self.over)


def _measure(told: argparse.Namespace, folder: Path) -> int:
    snapshot = open_upstream(told.upstream)
    upstream = lay_out_upstream(snapshot, folder / "sources")
    generate(snapshot, Place(folder / "generated"), Settings())
    config = _prepare(told, folder, upstream)
    watch = Watch(folder / "exp" / "train.log", told.steps, told.limit)
    conditions = Conditions(device="xla", plain=True)
    run = run_side(port_side(upstream, folder / "generated"), config, conditions, told.timeout, watch)
    if watch.over != "steps":
        why = f"above {told.limit:g} GiB" if watch.over else f"status {run.status}; {run.tail()}"
        print(f"ended after {len(run.log)} of {told.steps} steps: {why}")
    first, *later = [b - a for a, b in zip([0.0, *watch.logged], watch.logged, strict=False)] or [float("nan")]
    print(f"batch {told.batch}, {told.precision}")
    print(f"from the start to the end of the first step: {first:.0f} s")
    print(f"later steps: {', '.join(f'{seconds:.0f}' for seconds in later) or 'none'} s")
    print(f"peak memory of the main process: {watch.peak:.1f} GiB")
    most = max(watch.workers.values(), default=0.0)
    print(f"of each of {len(watch.workers)} processes that it started, at most: {most:.1f} GiB")
    for line in run.log:
        print(f"step {line.step}: {', '.join(f'{name} {value:.3f}' for name, value in line.losses.items())}")
    return int(watch.over != "steps")


def _prepare(told: argparse.Namespace, folder: Path, upstream: Side) -> Path:
    """Dataset and configuration; where that is."""
    exp_dir = folder / "exp"
    make_dataset(exp_dir, clips=max(_CLIPS, told.batch), seconds=told.seconds, version=_VERSION)
    for part in ("weights", f"logs_s2_{_VERSION}"):
        (exp_dir / part).mkdir()
    config = json.loads(Path(upstream.search[0], "configs", "s2.json").read_text(encoding="utf-8"))
    config["train"] |= {
        "batch_size": told.batch,
        "epochs": 1,
        "log_interval": 1,
        "fp16_run": told.precision == "bfloat16",
        "if_save_latest": 0,
        "if_save_every_weights": False,
        "save_every_epoch": 1,
        "pretrained_s2G": "",
        "pretrained_s2D": "",
        "gpu_numbers": "0",
    }
    config["model"]["version"] = config["version"] = _VERSION
    config["data"]["exp_dir"] = config["s2_ckpt_dir"] = str(exp_dir)
    config |= {"save_weight_dir": str(exp_dir / "weights"), "name": "full"}
    path = folder / "s2.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _descendants() -> list[tuple[int, int]]:
    """Processes that this one started, and theirs, each with how many are between."""
    found: list[tuple[int, int]] = []
    waiting = [(0, child) for child in _children("self")]
    while waiting:
        depth, process = waiting.pop()
        found.append((depth, process))
        waiting += [(depth + 1, child) for child in _children(str(process))]
    return found


def _children(process: str) -> list[int]:
    try:
        lists = [path.read_text() for path in Path("/proc", process, "task").glob("*/children")]
    except OSError:  # it is over
        return []
    return [int(number) for told in lists for number in told.split()]


def _peak(process: int) -> float:
    """The most memory that a process held so far, in GiB; 0 where it is over."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / _GIB for line in lines if line.startswith("VmHWM:")), 0.0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--batch", type=int, default=2, help="clips in a step (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1, help="until it is ended (default: %(default)s)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--seconds", type=_range, default=(0.8, 1.9), metavar="S,S", help="of clips")
    parser.add_argument("--limit", type=float, default=22.0, help="GiB (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=3000.0, help="seconds (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep all files here")
    return parser.parse_args()


def _range(text: str) -> tuple[float, float]:
    least, most = (float(part) for part in text.split(","))
    return least, most


if __name__ == "__main__":
    sys.exit(main())
