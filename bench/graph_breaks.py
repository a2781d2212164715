"""What a training step costs with the graph cut at the end of the step, and at every component.

    python bench/graph_breaks.py UPSTREAM [DIR] [--preset tiny|full] [--steps N]

Runs `sovits-port validate` on the synthesizer of a generated port once for each mode of `set_graph_breaks`, and prints
graphs compiled, the first step's time and the mean time of later steps. One process after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

MODES = ("step", "component")


def measure(upstream: str, folder: str, preset: str, steps: int, mode: str) -> list[dict[str, Any]]:
    """The cost of each step in one mode."""
    command = [sys.executable, "-m", "porter", "validate", upstream, folder, "--case", "synthesizer"]
    command += ["--preset", preset, "--steps", str(steps), "--timeout", "3000", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "SOVITS_PORT_GRAPH_BREAKS": mode}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == 2:
        raise SystemExit(2)
    case = json.loads(done.stdout)["cases"][0]
    if not case.get("budget"):
        raise SystemExit(f"no budget in mode {mode}: {case['verdict']} {case['findings']}")
    steps_told: list[dict[str, Any]] = case["budget"]["steps"]
    return steps_told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("folder", nargs="?", default="generated")
    parser.add_argument("--preset", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--steps", type=int, default=5)
    told = parser.parse_args()
    print(f"{'mode':12}{'graphs':>8}{'first step':>14}{'later steps':>14}")
    for mode in MODES:
        steps = measure(told.upstream, told.folder, told.preset, told.steps, mode)
        first, later = steps[0], [s["seconds"] for s in steps[1:]]
        graphs = sum(s["compiles"] for s in steps)
        print(f"{mode:12}{graphs:>8}{first['seconds']:>12.1f} s{sum(later) / len(later):>12.2f} s", flush=True)


if __name__ == "__main__":
    main()
