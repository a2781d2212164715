"""How long it takes from a wheel and nothing else to the first diff: three commands in an empty environment.

    python bench/first_diff.py UPSTREAM [PYTHON]...

PYTHON are interpreters (default: this one). For each: `pip install WHEEL`, `sovits-port generate UPSTREAM`,
`sovits-port diff`, with seconds on the clock; then --help, status and check, the least seconds of processor time of
several. The wheel is built first, and UPSTREAM should be in the cache: a network is not measured but that of pip. Exit
status 1 where three commands take more than a minute, or one of the others a third of a second.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60.0  # seconds, of the three commands
START_LIMIT = 0.3  # seconds of processor time, of the others
_TRIES = 5
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}


def main() -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", default=[sys.executable])
    asked = parser.parse_args()
    fine = True
    with tempfile.TemporaryDirectory(prefix="first-diff-") as folder:
        run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, str(ROOT)], Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        for number, python in enumerate(asked.pythons):
            place = Path(folder) / str(number)
            place.mkdir()
            fine &= measure(python, wheel, asked.upstream, place)
    return 0 if fine else 1


def measure(python: str, wheel: Path, upstream: str, place: Path) -> bool:
    """Print one interpreter's figures; whether they are within the limits."""
    run([python, "-m", "venv", "env"], place)
    version = run(["env/bin/python", "-c", "import sys; print(sys.version.split()[0])"], place)[1].strip()
    tool = "env/bin/sovits-port"
    first = {
        "pip install": run(["env/bin/python", "-m", "pip", "install", "-q", str(wheel)], place)[0],
        "generate": run([tool, "generate", upstream], place)[0],
    }
    first["diff"], shown = run([tool, "diff"], place)
    total = sum(first.values())
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in first.items())
    print(f"{version}: {told}; in all {total:.1f} s to {len(shown.splitlines())} lines of diff")
    starts = {name: processor_time([tool, name], place) for name in ("--help", "status", "check")}
    print(f"{version}: processor time of " + ", ".join(f"{name} {s:.2f} s" for name, s in starts.items()), flush=True)
    return total < LIMIT and all(seconds < START_LIMIT for seconds in starts.values())


def run(command: Sequence[str], place: Path) -> tuple[float, str]:
    """Seconds on the clock, and what a command prints."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=place, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def processor_time(command: Sequence[str], place: Path) -> float:
    """The least seconds of processor time that a command takes, of several times."""
    seconds = []
    for _ in range(_TRIES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(command, place)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
