"""What the steps of the ported trainer cost on XLA, with a plan of several buckets.

    python bench/train_costs.py UPSTREAM [--graphs 3] [--steps 34] [--log-interval 10] [--version v2] [--keep DIR]

Prints graphs compiled, fallbacks, host syncs and transfers of a small model's training. Exit status 1 where a bucket
compiles more than once, an operator falls back to the host, or a step that logs nothing waits for the device.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.training.costs import costs_of
from bench.training.layout import lay_out_upstream, port_side
from bench.training.running import Conditions, Run, run_side
from bench.training.workplace import prepare_workplace
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place


def main() -> int:
    """Train, print; status 1 where a step costs what it should not, 2 for unusable input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--graphs", type=int, default=3, help="buckets of the plan (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=34, help="rounded up to whole epochs (default: %(default)s)")
    parser.add_argument("--log-interval", type=int, default=10, help="in steps (default: %(default)s)")
    parser.add_argument("--version", default="v2", help="of the model (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder for all that is made (default: one that is removed)")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds (default: %(default)s)")
    told = parser.parse_args()
    try:
        with ExitStack() as stack:
            folder = told.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-costs-")))
            run = _train(told, folder.resolve())
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _show(run, told)


def _train(told: argparse.Namespace, folder: Path) -> Run:
    snapshot = open_upstream(told.upstream)
    upstream = lay_out_upstream(snapshot, folder / "sources")
    generate(snapshot, Place(folder / "generated"), Settings())
    workplace = prepare_workplace(folder, upstream, told.version, Conditions(), told.timeout, warm_steps=0)
    config = workplace.config("costs", told.steps, log_interval=told.log_interval)
    command = [sys.executable, "-m", "porter", "buckets", str(config.parent / "exp"), "--config", str(config)]
    planned = subprocess.run(
        [*command, "--graphs", str(told.graphs), "--write"], capture_output=True, text=True, check=False
    )
    if planned.returncode:
        raise PortError(planned.stderr.strip())
    run = run_side(port_side(upstream, folder / "generated"), config, Conditions(device="xla"), told.timeout)
    if run.status:
        raise PortError(run.tail())
    return run


def _show(run: Run, told: argparse.Namespace) -> int:
    table = Table("step", "frames", "seconds", "compiles", "host syncs", "to the host", "to the device")
    for step in run.steps:
        figures = step.figures
        frames = max(shape[-1] for shape in step.shapes if len(shape) == 3 and shape[1] > 1)
        shown = ("compiles", "aten::_local_scalar_dense", "downloads", "uploads")
        own = [figures.get(name, 0) for name in shown[:-1]] + [figures.get("uploads", 0) - sum(step.draws.values())]
        table.add_row(str(step.number), str(frames), f"{step.seconds:.1f}", *map(str, own))
    console = Console()
    console.print(table)
    costs = costs_of(run.steps[:-1], told.log_interval)  # the last one's figures include a checkpoint's
    console.print(
        f"{costs.shapes} buckets, {costs.compiles_new} graphs compiled for the first batch of each, "
        f"{costs.compiles_later} later; {sum(costs.fallbacks.values())} fallbacks; {costs.syncs} host syncs, "
        f"{costs.syncs_quiet} of them in steps without a log line; {costs.seconds:.1f} s a step"
    )
    problems = costs.problems()
    if costs.compiles_new != costs.shapes:
        problems.append(f"{costs.compiles_new} graphs for {costs.shapes} buckets")
    for problem in problems:
        console.print(problem, style="red", markup=False)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
