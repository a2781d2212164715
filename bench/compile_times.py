"""How long the TPU compiler takes for the port, and for the port without the rules of family TPU.

    python bench/compile_times.py UPSTREAM [--case NAME ...] [--chip CHIP]

Two packages are generated, one with `--ignore TPU`, and each case is estimated with both, one after the other, from the
start (`estimate --fresh`). Nothing else should run: the compiler takes what cores there are. Exit status 1 where a
graph did not compile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_PORT = (sys.executable, "-c", "from porter.cli import main; main()")
_CASES = ("synthesizer.v2.forward", "discriminator.v2")


def main() -> int:
    """Compile, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--chip", default="v5e")
    parser.add_argument("--timeout", default="5400", help="seconds for each graph")
    asked = parser.parse_args()
    table = Table("case", "package", "compiled in s", "GB accessed", "temporary GB", title=asked.chip)
    failed, seconds = False, dict.fromkeys(("without TPU rules", "port"), 0.0)
    with tempfile.TemporaryDirectory() as place:
        packages = dict(zip(seconds, (("--ignore", "TPU"), ()), strict=True))
        for number, arguments in enumerate(packages.values()):
            _run("generate", asked.upstream, "--out", f"{place}/{number}", *arguments)
        for case in asked.case or _CASES:
            for number, name in enumerate(packages):
                graph = _estimate(asked, Path(place, str(number)), case)
                said = graph["chips"].get(asked.chip) or {"verdict": graph["problem"] or graph["unavailable"]}
                result = said.get("compiled")
                failed |= not result
                seconds[name] += result["seconds"] if result else 0
                cells = (
                    (f"{result['seconds']:.0f}", f"{result['accessed'] / 1e9:.2f}", f"{result['temporary'] / 1e9:.2f}")
                    if result
                    else (said["verdict"], "", "")
                )
                table.add_row(case, name, *cells)
    for name, total in seconds.items():
        table.add_row("all of these", name, f"{total:.0f}", "", "")
    Console().print(table)
    return int(failed)


def _estimate(asked: argparse.Namespace, package: Path, case: str) -> dict[str, Any]:
    arguments = ("--case", case, "--chip", asked.chip, "--fresh", "--json", "--timeout", asked.timeout)
    graphs: list[dict[str, Any]] = json.loads(_run("estimate", asked.upstream, str(package), *arguments))["graphs"]
    return graphs[0]


def _run(*arguments: str) -> str:
    done = subprocess.run([*_PORT, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):  # 1: a graph does not compile, which the table tells
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
