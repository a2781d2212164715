"""Compares random programs as written with what the port makes of them, eagerly on the CPU.

    python bench/fuzz [--seed S] [--count N] [--start I] [--minimise] [--rules DIR] [--show N] [--xla] [--source]

A program is one function or module in the style of such models: reads, checks, masks, loops, factories, operators,
layers. The same seed gives the same programs on every Python. All of them are ported, a hundred to a package, and each
is called twice, with inputs of other sizes; results, their types, gradients, changed inputs, printed text, exceptions
and the state of the generators must be the same. Exit status 1 where a program differs; its name is SEED:NUMBER, and
`--seed SEED --start NUMBER --count 1 --minimise` makes it small.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.fuzz.campaign import Campaign, applicable, by_blame, run, smallest
from bench.fuzz.judging import Verdict
from bench.fuzz.porting import workplace
from bench.fuzz.programs import program
from porter.views.console import plain_table, stdout_console


class _Step(Protocol):
    def __call__(self, done: int, differing: int) -> None: ...


@contextmanager
def _progress(count: int) -> Iterator[_Step]:
    """A bar on a terminal's stderr; a line now and then where that is a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        started = time.perf_counter()

        def tell(done: int, differing: int) -> None:
            if done % 1000 == 0 or done == count:
                seconds = time.perf_counter() - started
                print(f"{done} of {count} programs, {differing} differ, {seconds:.0f} s", file=sys.stderr, flush=True)

        yield tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("comparing", total=count)

        def move(done: int, differing: int) -> None:
            bar.update(task, completed=done, description=f"comparing, {differing} differ")

        yield move


def main() -> int:
    """Compare and print; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python bench/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="how many programs")
    parser.add_argument("--start", type=int, default=0, metavar="I", help="number of the first program")
    parser.add_argument("--minimise", action="store_true", help="make programs that differ small")
    parser.add_argument("--show", type=int, default=2, metavar="N", help="programs to print for each rule at fault")
    parser.add_argument("--rules", action="append", type=Path, default=[], metavar="DIR", help="further rules")
    parser.add_argument("--xla", action="store_true", help="run the port on XLA's device, a sample")
    parser.add_argument("--source", action="store_true", help="only print the programs")
    told = parser.parse_args()
    numbers = range(told.start, told.start + told.count)
    if told.source:
        for number in numbers:
            made = program(told.seed, number)
            print(f"# {made.name}\n{made.style.header}\n\n{made.source}")
        return 0
    os.environ["SOVITS_PORT_DEVICE"] = "xla" if told.xla else "cpu"  # whatever else this machine has
    torch.set_num_threads(1)
    console = stdout_console()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="sovits-fuzz-") as folder, workplace(Path(folder), told.rules) as place:
        with _progress(told.count) as step:
            seen = run(place, told.seed, numbers, step, _xla_device() if told.xla else None)
        if told.xla:
            for verdict in seen.failures[: told.show]:
                _show(verdict)
        else:
            for rules, failures in by_blame(place, seen.failures).items():
                console.rule(f"{len(failures)} by {', '.join(rules) or 'no rule'}")
                for verdict in failures[: told.show]:
                    _show(smallest(place, verdict) if told.minimise else verdict)
    _summarise(console, seen, told.seed, time.perf_counter() - started)
    return int(bool(seen.failures))


def _xla_device() -> torch.device:
    os.environ.setdefault("PJRT_DEVICE", "CPU")
    import torch_xla

    device = torch_xla.device()
    assert isinstance(device, torch.device)
    return device


def _show(verdict: Verdict) -> None:
    print(f"# {verdict.program.name}\n{verdict.program.source.strip()}\n# becomes\n{verdict.ported.emitted}")
    for difference in verdict.differences[:2]:
        print(difference)
    print(flush=True)


def _summarise(console: Console, seen: Campaign, seed: int, seconds: float) -> None:
    table = plain_table("rule", "programs", "title")
    rules = applicable()
    for rule in rules:
        table.add_row(rule.code, str(seen.touched[rule.code]), rule.title)
    console.print(table)
    never = [rule.code for rule in rules if not seen.touched[rule.code]]
    if never:
        print(f"never at work: {', '.join(never)}")
    if seen.failures:
        print(f"differ: {' '.join(v.program.name for v in seen.failures[:200])}")
    print(
        f"{seen.programs} programs of seed {seed}, {len(seen.failures)} differ; "
        f"{seen.raised} raise as written; {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
