"""Whether the rules of family TPU leave the graphs of other devices as they are.

    python bench/ordinary_graphs.py UPSTREAM [--case NAME ...]

Two packages are generated, one with `--ignore TPU`, and each case is traced for XLA's CPU with both: forward, backward
and all gradients where the case trains. Their StableHLO is compared as text, operation by operation. Exit status 1
where a line differs, but for the name of the module, which counts nodes that were made in tracing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from difflib import unified_diff
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from porter.errors import PortError
from porter.estimate.exchange import Sizes
from porter.estimate.runner import EstimateRequest, Tracing
from porter.inputs.upstream import Snapshot, open_upstream
from porter.validate.manifest import read_manifest

_GENERATE = "from porter.cli import main; main()"
_CASES = ("synthesizer.v2.forward", "synthesizer.v2.infer", "discriminator.v2")


def main() -> int:
    """Trace, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--case", action="append", default=[])
    asked = parser.parse_args()
    table = Table("case", "operations", "lines that differ")
    failed = False
    try:
        snapshot = open_upstream(asked.upstream)
        with tempfile.TemporaryDirectory() as place:
            packages = [Path(place, name) for name in ("with", "without")]
            for package, ignored in zip(packages, ((), ("--ignore", "TPU")), strict=True):
                command = [sys.executable, "-c", _GENERATE, "generate", asked.upstream, "--out", str(package), *ignored]
                subprocess.run(command, check=True, capture_output=True)
            for case in asked.case or _CASES:
                one, other = (_graph(snapshot, package, case) for package in packages)
                differing = [line for line in unified_diff(one, other, n=0) if line[:1] in "+-"][2:]
                failed |= bool(differing) or len(one) < 2
                table.add_row(case, str(len(one)), str(len(differing)))
    except PortError as error:
        print(error, file=sys.stderr)
        return 2
    Console().print(table)
    return int(failed)


def _graph(snapshot: Snapshot, package: Path, case: str) -> list[str]:
    """The lines of a case's graph, after that with its name. PortError where there is none."""
    request = EstimateRequest(chips=("v5e",))
    with Tracing(snapshot, read_manifest(package), request) as tracing:
        (graph,) = tracing.trace(case, ("",), Sizes(8, 400, 100), "")
    if not graph.code:
        raise PortError(f"{case}: {graph.problem or graph.unavailable}")
    mlir = import_module("jax._src.interpreters.mlir")
    stablehlo = import_module("jaxlib.mlir.dialects.stablehlo")
    with mlir.make_ir_context() as context:
        return str(stablehlo.deserialize_portable_artifact(context, graph.code)).splitlines()[1:]


if __name__ == "__main__":
    sys.exit(main())
