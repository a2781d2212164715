"""How long `generate` takes, against the time that libcst needs to parse and print the same folder.

    python bench/generate_speed.py UPSTREAM

In one run: libcst's parse and code generation of every file of the folder `module` (ONNX exporters too),
a whole cold generate in this process, a second generate with nothing changed as a command of its own with
interpreter start included, and peak memory. Each figure is the best of several: other work only adds time.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_CHILD = "import sys; sys.path.insert(0, sys.argv.pop(1)); from porter.cli import main; main()"
COLD_LIMIT = 2.0  # times libcst's parse and print
WARM_LIMIT = 0.5  # seconds
MEMORY_LIMIT = 400.0  # MB


def main() -> int:
    """Measure and print; status 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--repeat", type=int, default=7, metavar="N")
    arguments = parser.parse_args()
    # By turns, so that a slow spell of the machine meets both.
    turns = [(parse_and_print(arguments.upstream), generate_cold(arguments.upstream)) for _ in range(arguments.repeat)]
    baseline, cold = (min(times) for times in zip(*turns, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        run_command(arguments.upstream, folder)
        command = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        warm = best(lambda: run_command(arguments.upstream, folder), max(5, arguments.repeat))
    print(f"libcst parse + print of module/*.py   {baseline:7.3f} s")
    ratio = f"{cold / baseline:5.2f} x (limit {COLD_LIMIT} x)"
    print(f"generate, cold, in process            {cold:7.3f} s   {ratio}")
    print(f"generate again, whole command         {warm:7.3f} s   (limit {WARM_LIMIT} s)")
    print(f"peak memory, this process             {memory:7.0f} MB")
    print(f"peak memory, cold generate as command {command:7.0f} MB  (limit {MEMORY_LIMIT:.0f} MB)")
    return int(cold > COLD_LIMIT * baseline or warm > WARM_LIMIT or command > MEMORY_LIMIT)


def best(measure: Callable[[], float], times: int) -> float:
    """The least of several measurements."""
    return min(measure() for _ in range(times))


def parse_and_print(upstream: str) -> float:
    """Seconds for libcst alone, files in memory."""
    import libcst

    from porter.sources import find_module_root
    from porter.upstream import open_upstream

    snapshot = open_upstream(upstream)
    paths = [p for p in snapshot.files(find_module_root(snapshot)) if p.endswith(".py")]
    texts = [content.decode() for content in snapshot.read_many(paths).values()]
    start = time.perf_counter()
    for text in texts:
        libcst.parse_module(text).code  # noqa: B018  # printing is what is measured
    return time.perf_counter() - start


def generate_cold(upstream: str) -> float:
    """Seconds for a whole generate into an empty folder, reading and writing included."""
    from porter.commands.memory import no_collection
    from porter.generate import Settings, generate
    from porter.store import Place
    from porter.upstream import open_upstream

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with no_collection():
            outcome = generate(open_upstream(upstream), Place(Path(folder) / "out"), Settings())
            seconds = time.perf_counter() - start
    assert outcome.written
    return seconds


def run_command(upstream: str, folder: str) -> float:
    """Seconds for the command, from start to end of its process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", _CHILD, str(ROOT), "generate", upstream, "--out", f"{folder}/out"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
