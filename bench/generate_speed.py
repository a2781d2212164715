"""How long `generate` takes, against the time that libcst needs to parse and print the same files.

    python bench/generate_speed.py UPSTREAM

In one run, each as a process of its own, interpreter start included: libcst's parse and code generation of the files in
scope, a cold generate, and a second one with nothing changed; with the peak memory of the cold one. Each time is
processor time, of the process and of those that it starts, and the median of several turns; so is their ratio, since
what else slows down the machine slows down both. Python may keep bytecode, as it does for a package that pip installs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_GENERATE = "import sys; sys.path.insert(0, sys.argv.pop(1)); from porter.cli import main; main()"
_PRINT = (
    "import pathlib, sys, libcst\nfor name in sys.argv[1:]: libcst.parse_module(pathlib.Path(name).read_bytes()).code"
)
COLD_LIMIT = 2.5  # times libcst's parse and print
WARM_LIMIT = 0.3  # seconds
MEMORY_LIMIT = 200.0  # MB


@dataclass(frozen=True)
class Run:
    """One process: seconds of processor time, and the most memory that it had, in MB."""

    seconds: float
    memory: float


def main() -> int:
    """Measure and print; status 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--repeat", type=int, default=7, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = in_scope(arguments.upstream, Path(folder, "files"))
        generate = [sys.executable, "-c", _GENERATE, str(ROOT), "generate", arguments.upstream, "--out"]
        turns = []
        for turn in range(arguments.repeat):  # by turns, so that a slow spell of the machine meets both
            turns.append((run([sys.executable, "-c", _PRINT, *files]), run([*generate, f"{folder}/out{turn}"])))
        baseline, cold = (statistics.median(run.seconds for run in runs) for runs in zip(*turns, strict=True))
        ratio = statistics.median(made.seconds / printed.seconds for printed, made in turns)
        memory = max(run.memory for _, run in turns)
        warm = statistics.median(run([*generate, f"{folder}/out0"]).seconds for _ in range(max(5, arguments.repeat)))
    print(f"libcst parse + print of {len(files)} files   {baseline:7.3f} s")
    print(f"generate, cold                      {cold:7.3f} s   {ratio:5.2f} x (limit {COLD_LIMIT} x)")
    print(f"generate again                      {warm:7.3f} s   (limit {WARM_LIMIT} s)")
    print(f"peak memory of a cold generate      {memory:7.0f} MB  (limit {MEMORY_LIMIT:.0f} MB)")
    return int(ratio > COLD_LIMIT or warm > WARM_LIMIT or memory > MEMORY_LIMIT)


def in_scope(upstream: str, folder: Path) -> list[str]:
    """Copies of the files that are ported, by path."""
    from porter.inputs.sources import collect
    from porter.inputs.upstream import open_upstream

    snapshot = open_upstream(upstream)
    paths = tuple(collect(snapshot).texts)
    snapshot.materialize(paths, folder)
    return [str(folder / path) for path in paths]


def run(command: list[str]) -> Run:
    """A command from start to end of its process. Its own memory, not that of the children before it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=kept)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{command[3:]} failed")
    return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
