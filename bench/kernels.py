"""Whether the TPU compiler that is installed takes every kernel of the port's graphs.

    python bench/kernels.py UPSTREAM [--chip CHIP ...] [--case NAME ...] [--batch N --frames N --phones N]

The package is generated, and each case is traced for each chip, in float32 and under bfloat16 autocast, without
compiling the graph: each kernel is lowered and compiled alone, as a process that trains does before the kernel becomes
part of a graph. Prints how many of each kind there are, what the compiler refuses, and how many bytes they have as HLO.
Exit status 1 where one is refused, or a graph cannot be traced; what does without a kernel, since VMEM is too small for
example, is listed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from porter.errors import PortError
from porter.estimate.chips import CHIPS
from porter.estimate.exchange import Sizes
from porter.estimate.pair import described, installed
from porter.estimate.runner import EstimateRequest, Tracing
from porter.inputs.upstream import open_upstream
from porter.runtime.ops.programs import kept_program
from porter.validate.manifest import read_manifest

_GENERATE = "from porter.cli import main; main()"
_CASES = (
    "synthesizer.v2.forward",
    "synthesizer.v2.infer",
    "discriminator.v2",
    "synthesizer.v2ProPlus.forward",
    "synthesizer_v3.v3.forward",
    "cfm.forward",
)


def main() -> int:
    """Trace, compile, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--chip", action="append", choices=sorted(CHIPS), default=[])
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--phones", type=int, default=100)
    asked = parser.parse_args()
    sizes = Sizes(asked.batch, asked.frames, asked.phones)
    started = time.monotonic()
    failed: list[str] = []
    table = Table("chip", "kernel", "compiled", "refused", "KB of HLO", title=described(installed()))
    told: dict[str, None] = {}
    try:
        with tempfile.TemporaryDirectory() as place:
            os.environ["SOVITS_PORT_COMPILATION_CACHE"] = f"{place}/kept"
            package = Path(place, "package")
            command = [sys.executable, "-c", _GENERATE, "generate", asked.upstream, "--out", str(package)]
            if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 2:
                return 2
            for chip in asked.chip or list(CHIPS):
                for case in asked.case or _CASES:
                    told.update(dict.fromkeys(_trace(asked.upstream, package, case, sizes, chip, failed)))
            failed += _count(Path(place, "kept", "kernels"), table)
    except PortError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console()
    console.print(table)
    for line in (*told, *failed):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"{time.monotonic() - started:.0f} s")
    return int(bool(failed))


def _trace(upstream: str, package: Path, case: str, sizes: Sizes, chip: str, failed: list[str]) -> list[str]:
    """Trace a case in both precisions; what it does without, and why it cannot be traced."""
    found: list[str] = []
    for bf16 in (False, True):
        request = EstimateRequest(chips=(chip,), bf16=bf16, timeout=3600)
        with Tracing(open_upstream(upstream), read_manifest(package), request) as tracing:
            for graph in tracing.trace(case, ("",), sizes, chip):
                found += [f"{case} on {chip}: {note}" for note in graph.notes]
                failed += [f"{case} on {chip}: {graph.problem}"] * bool(graph.problem)
                # Not that VMEM is too small for one, but that it cannot be tried.
                failed += [f"{case} on {chip}: {n}" for n in graph.notes if " pass: " in n or "be imported" in n]
    return found


def _count(kept: Path, table: Table) -> list[str]:
    """Add a row for each kind of kernel; those that are refused, with the reason."""
    told: list[str] = []
    fine: Counter[tuple[str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    size: Counter[tuple[str, str]] = Counter()
    for path in sorted(kept.iterdir()) if kept.is_dir() else ():
        read = kept_program(path)
        if read is None:
            continue
        about, program = read
        kind = (about["chip"], f"{about['kernel']} {'backward' if about['backward'] else 'forward'}")
        (refused if program.problem else fine)[kind] += 1
        size[kind] += len(program.hlo)
        if program.problem:
            told.append(f"{' on '.join(reversed(kind))}: {about['plan']}: {program.problem}")
    for kind in sorted(fine | refused):
        table.add_row(*kind, str(fine[kind]), str(refused[kind]), f"{size[kind] / 1024:.0f}")
    return told if fine else [*told, "no kernel was compiled"]


if __name__ == "__main__":
    sys.exit(main())
