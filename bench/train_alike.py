"""Whether the ported trainer trains as upstream's own, from the same data, start weights and noise.

    python bench/train_alike.py UPSTREAM [--steps 50] [--trainer s2_train] [--version v2]
                                [--replicas 1,2,4] [--device xla|cpu]
                                [--double] [--learning-rate 1e-4] [--log-interval 1] [--padding port|own]
                                [--scripts] [--generated DIR] [--keep DIR] [--json]
    python bench/train_alike.py UPSTREAM --against padding|rounding

Upstream's unported trainer runs on the CPU, the port's on the device, each in a process of its own, on a small model
with dropout. With more replicas each gets its part of the same batch. Compared are what both log at each step, learning
rates, and parameters at the end; on XLA also what a step costs. Exit status 1 where a figure misses its mark: losses
within 1e-3, parameters at 60 dB.

`--trainer s2_train_v3` and `--trainer s2_train_v3_lora` go with `--version v3` or v4; the latter needs peft.

Upstream's batches are padded like the port's, since what upstream computes depends a little on padding: its style
encoder looks at the frames behind the longest clip of a batch. `--padding own` leaves them as they are.

What upstream scripts runs as Python (PYTORCH_JIT=0), since TorchScript's gradients of tanh and sigmoid round unlike
torch's own, which the port takes. `--scripts` leaves them. Without it the port on the CPU equals upstream to the last
bit.

`--against` judges the judge: upstream runs twice, the second time with longer padding, or with start weights that are
off by an epsilon. What is then between the runs is no fault of a port: at upstream's learning rate of 1e-4, float32
grows an epsilon to some 1e-2 within 50 steps. So the losses are to be judged with `--double`, which computes in float64
on both sides, or in float32 with `--learning-rate 1e-5`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.training.comparing import CLOSE, LEAST_DB, Difference, compare_runs, worst
from bench.training.costs import Costs, costs_of
from bench.training.layout import Side, lay_out_upstream, port_side
from bench.training.running import Conditions, Run, run_side
from bench.training.workplace import ALONE, BATCH, Workplace, prepare_workplace
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place

_WORST = 5
_EXTRA = 32  # frames of longer padding


def main() -> int:
    """Train, compare, print; status 1 where a figure misses its mark, 2 for unusable input."""
    told = _arguments()
    try:
        with ExitStack() as stack:
            folder = told.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sovits-alike-")))
            return _judge(told, folder.resolve())
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _judge(told: argparse.Namespace, folder: Path) -> int:
    snapshot = open_upstream(told.upstream)
    conditions = Conditions(seed=told.seed, narrow=told.narrow, double=told.double, scripts=told.scripts)
    upstream = lay_out_upstream(snapshot, folder / "sources", told.trainer)
    warm = told.warm if told.version not in ALONE else 0
    workplace = prepare_workplace(folder, upstream, told.version, conditions, told.timeout, warm)
    names = []
    results: list[tuple[Difference, Costs | None]] = []
    if told.against:
        reference = _run(told, workplace, "upstream", upstream, conditions)
        if told.against == "padding":
            other = _run(told, workplace, "padded", upstream, replace(conditions, extra_frames=_EXTRA))
        else:
            near = replace(workplace, start=_perturbed(workplace, told.seed, told.double))
            other = _run(told, near, "near", upstream, conditions)
        names.append(f"upstream against itself, other {told.against}")
        results.append((compare_runs(reference, other, workplace.start), None))
    else:
        generated = told.generated
        if generated is None:
            generated = folder / "generated"
            generate(snapshot, Place(generated), Settings())
        port = port_side(upstream, generated.resolve())
        ported = {}
        for count in told.replicas:
            own = replace(conditions, device=told.device, replicas=count)
            ported[count] = _run(told, workplace, f"port-{count}", port, own, batch_size=BATCH // count)
        if told.padding == "port":
            shapes = {step.number: step.shapes for step in ported[told.replicas[0]].steps}
            conditions = replace(conditions, like=shapes)
        reference = _run(told, workplace, "upstream", upstream, conditions)
        for count, run in ported.items():
            names.append(f"port on {told.device}, {count} {'replica' if count == 1 else 'replicas'}")
            costs = costs_of(run.steps, told.log_interval) if told.device == "xla" else None
            results.append((compare_runs(reference, run, workplace.start), costs))
    if told.json:
        print(json.dumps(_as_json(names, results), indent=2))
    else:
        for name, (difference, costs) in zip(names, results, strict=True):
            _show(name, difference, costs, Console())
    return int(any(not difference.passed or (costs and costs.problems()) for difference, costs in results))


def _run(
    told: argparse.Namespace,
    workplace: Workplace,
    name: str,
    side: Side,
    conditions: Conditions,
    batch_size: int = BATCH,
) -> Run:
    train = {
        "batch_size": batch_size,
        "log_interval": told.log_interval,
        "learning_rate": told.learning_rate,
        "grad_ckpt": told.grad_ckpt,
    }
    config = workplace.config(name, told.steps, **train)
    print(f"{name}: {side.trainer} on {conditions.device}", file=sys.stderr)
    run = run_side(side, config, conditions, told.timeout)
    print(f"{name}: status {run.status}, {len(run.steps)} steps, {run.seconds:.0f} s", file=sys.stderr)
    return run


def _perturbed(workplace: Workplace, seed: int, double: bool) -> dict[str, Path]:
    """Files of start weights that differ from the workplace's by what the dtype rounds: an epsilon, normally spread."""
    dtype = torch.float64 if double else torch.float32
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for network, path in workplace.start.items():
        weights = torch.load(path, weights_only=True)["weight"]
        for name, value in weights.items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
                weights[name] = (value * (1 + torch.finfo(dtype).eps * noise)).to(dtype)
        result[network] = path.with_stem(f"{path.stem}_near")
        torch.save({"weight": weights}, result[network])
    return result


def _show(name: str, difference: Difference, costs: Costs | None, console: Console) -> None:
    table = Table(title=f"{name}, {difference.steps} logged steps", title_justify="left")
    for title in ("logged", "worst difference", "at step", "median", ""):
        table.add_column(title)
    for loss in difference.losses:
        table.add_row(loss.name, f"{loss.worst:.1e}", str(loss.step), f"{loss.middle:.1e}", _verdict(loss.passed))
    console.print(table)
    for network in difference.networks:
        low = [tensor for tensor in network.tensors if tensor.db < LEAST_DB]
        console.print(
            f"{network.network}: {network.db:.1f} dB over all values ({network.moved_db:.1f} dB of what training "
            f"changed); {len(low)} of {len(network.tensors)} tensors below {LEAST_DB:.0f} dB; "
            f"lowest: {worst(network.tensors, _WORST)} {_verdict(network.passed)}"
        )
        for problem in network.problems:
            console.print(f"{network.network}: {problem}")
    for problem in difference.problems:
        console.print(problem, style="red", markup=False)
    if costs is not None:
        console.print(
            f"{costs.shapes} kinds of batches; {costs.compiles_new} graphs compiled for new ones, "
            f"{costs.compiles_later} later; {sum(costs.fallbacks.values())} fallbacks; {costs.syncs} host syncs, "
            f"{costs.syncs_quiet} of them in steps without a log line; {costs.downloads} transfers to the host "
            f"({costs.downloads_quiet}); {costs.uploads:.1f} to the device a step; {costs.seconds:.2f} s a step"
        )
        for problem in costs.problems():
            console.print(problem, style="red", markup=False)


def _verdict(passed: bool) -> str:
    return "ok" if passed else "MISSED"


def _as_json(names: Sequence[str], results: Sequence[tuple[Difference, Costs | None]]) -> object:
    return {
        "marks": {"losses": CLOSE, "parameters_db": LEAST_DB},
        "runs": [
            {
                "name": name,
                "passed": difference.passed and not (costs and costs.problems()),
                "difference": asdict(difference),
                "costs": asdict(costs) if costs else None,
            }
            for name, (difference, costs) in zip(names, results, strict=True)
        ],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--steps", type=int, default=50, help="rounded up to whole epochs")
    parser.add_argument("--version", default="v2", choices=["v1", "v2", "v2Pro", "v2ProPlus", *ALONE])
    parser.add_argument("--trainer", default="s2_train", help="upstream's script, such as s2_train_v3_lora")
    parser.add_argument("--replicas", type=_counts, default=[1], metavar="N,N")
    parser.add_argument("--device", default="xla", choices=["xla", "cpu"])
    parser.add_argument("--log-interval", type=int, default=1, metavar="N")
    parser.add_argument("--learning-rate", type=float, default=1e-4, metavar="RATE", help="upstream's is 1e-4")
    parser.add_argument("--padding", default="port", choices=["port", "own"])
    parser.add_argument("--against", choices=["padding", "rounding"])
    parser.add_argument(
        "--warm", type=int, default=51, metavar="STEPS", help="upstream makes start weights in these (v1 and v2 alone)"
    )
    parser.add_argument("--scripts", action="store_true", help="let TorchScript run what upstream scripts")
    parser.add_argument("--double", action="store_true", help="compute in float64")
    parser.add_argument(
        "--grad-ckpt",
        action="store_true",
        help="compute activations again (trainers of v3 and v4), on the CPU",
    )
    parser.add_argument("--narrow", type=int, default=4, metavar="N", help="divide the discriminators' channels")
    parser.add_argument("--generated", type=Path, metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep all files here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS", help="of each run")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    if told.device == "cpu" and told.replicas != [1]:
        parser.error("the CPU is one device; --replicas goes with --device xla")
    if told.device == "xla" and told.grad_ckpt:
        parser.error("--grad-ckpt goes with --device cpu: XLA draws noise of its own for what it computes again")
    return told


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if any(count < 1 or BATCH % count for count in counts):
        raise argparse.ArgumentTypeError(f"a batch of {BATCH} cannot be split so")
    return counts


if __name__ == "__main__":
    sys.exit(main())
