"""The judge is judged by machine: random mutants of a generated package, and how many of them `validate` sees.

    python bench/mutants.py UPSTREAM [--count N] [--seed S] [--device cpu|xla] [--forms auto|tpu]
                            [--files GLOB]... [--case NAME]... [--jobs N] [--limit SECONDS] [--trust] [--list]
                            [--json FILE]

A mutant is the package with one change that a standard mutation operator makes at a random place, in upstream's files
or in the runtime. Once, and kept in the user's cache, it is recorded which case reaches which statement; a mutant is
then tried on the cases that reach it, the cheapest first, until one sees it or `--limit` is reached. What is done is
kept as well: the same command goes on where it was stopped. Code that no case reaches counts as not seen. On the CPU
with plain forms, what only other recorded runs reach (`--forms tpu`, `--device xla`) is left to them, and what survives
is tried with their cases too; those runs count only what the plain run does not reach. Mutants that change nothing are
noted, with the reason, in bench/mutation/equal.toml. Exit status 1 where a mutant is not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.mutation.campaign import Found, Sampling, Step, Trial, run
from bench.mutation.equal import read_notes
from bench.mutation.finding import sample
from bench.mutation.judging import cores
from bench.mutation.report import show, to_json
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place
from porter.validate.request import Request
from porter.views.console import stdout_console


def main() -> int:
    """Try and print; the exit status."""
    told = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary folders are removed
    started = time.perf_counter()
    request = Request(told.device, "tiny", tuple(told.case), 0, 2, 900.0, forms=told.forms)
    sampling = Sampling(told.count, told.seed, tuple(told.files), told.trust, told.limit)
    try:
        snapshot = open_upstream(told.upstream)
        with tempfile.TemporaryDirectory(prefix="sovits-unbroken-") as temporary:
            package = Path(temporary).resolve()
            generate(snapshot, Place(package), Settings())
            if told.list:
                for mutant in islice(sample(package / "module" / "tpu", told.files, told.seed), told.count):
                    print(f"{mutant.operator}: {mutant}")
                return 0
            found = run(snapshot, package, request, sampling, read_notes(), told.jobs, _say, _progress(told.count))
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _report(found, told.json, stdout_console())
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return int(found.seen < len(found.trials))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("--count", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--device", choices=("cpu", "xla"), default="cpu")
    parser.add_argument("--forms", choices=("auto", "tpu"), default="auto", help="as of validate")
    parser.add_argument("--files", nargs="+", default=[], metavar="GLOB", help="of the package, such as 'ops/*'")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="as of validate")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help="mutants at a time")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS", help="of cases for one mutant, in all")
    parser.add_argument("--trust", action="store_true", help="mutants that a case saw before it changed count as seen")
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    return parser.parse_args()


def _report(found: Found, file: Path | None, console: Console) -> None:
    show(found, console)
    if file is not None:
        file.write_text(json.dumps(to_json(found), indent=1), encoding="utf-8")


def _progress(count: int) -> Step:
    def step(trial: Trial, done: int) -> None:
        fate = trial.fate
        seen = f"by {fate.case}" if fate.case else f"{fate.tried} cases"
        _say(f"[{done}/{count}] {trial.mutant}: {fate.state}, {seen}, {fate.seconds:.1f} s")

    return step


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
