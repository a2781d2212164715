"""Into how many graphs torch.compile would cut each case: upstream's own code, and the port's.

    python bench/dynamo_graphs.py UPSTREAM [--case NAME ...]

Cases of `validate --preset tiny`, forward alone, through `torch._dynamo.explain` on the CPU, where the port runs
torch's own forms: each side in a process of its own. What only lazy tensors forgive (a context variable or a tensor's
value read while a graph is traced) breaks a graph. What upstream scripts is in no graph there, and breaks none; in the
port, which scripts nothing, it is one. Exit status 1 where the port has more graphs than upstream, and more breaks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from porter.errors import PortError
from porter.inputs.upstream import open_upstream
from porter.validate.cases import TITLES, chosen, load_case
from porter.validate.tree import Paths, UpstreamTree

_GENERATE = "from porter.cli import main; main()"
_SHOWN = 3  # breaks of a case


def main() -> int:
    """Count, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--case", action="append", default=[], metavar="NAME")
    parser.add_argument("--worker", metavar="JOB", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work(json.loads(asked.worker))
        return 0
    try:
        names = [name for name in chosen(tuple(asked.case)) if not load_case(name).on_host]
        tree = UpstreamTree(open_upstream(asked.upstream))
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            command = [sys.executable, "-c", _GENERATE, "generate", asked.upstream, "--out", f"{folder}/port"]
            subprocess.run(command, check=True, capture_output=True)
            upstream = explained(asked.upstream, tree, tree.lay_out_reference(folder / "all"), names)
            port = explained(asked.upstream, tree, tree.lay_out_rest(folder / "rest", folder / "port"), names)
    except PortError as error:
        print(error, file=sys.stderr)
        return 2
    return shown(upstream, port)


def explained(upstream: str, tree: UpstreamTree, paths: Paths, names: list[str]) -> dict[str, dict[str, Any]]:
    """What torch.compile says of the cases on one side, by name; those that this upstream lacks are left out."""
    told = Path(paths.roots[0]).with_name("told.jsonl")  # code under trial prints what it likes
    job = {"package": paths.package, "search": paths.search, "config": tree.config(), "names": names, "told": str(told)}
    command = [sys.executable, __file__, upstream, "--worker", json.dumps(job)]
    quiet = {**os.environ, "TORCH_LOGS": "-all"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=quiet)
    return {found["case"]: found for found in map(json.loads, told.read_text().splitlines())}


def work(job: dict[str, Any]) -> None:
    """One side: write a line of JSON for each case."""
    sys.path[:0] = job["search"]
    for name in job["names"]:
        found = _explain(name, job["package"], job["config"])
        if found is not None:
            with Path(job["told"]).open("a") as told:
                told.write(json.dumps({"case": name, **found}) + "\n")


def _explain(name: str, package: str, config: dict[str, Any] | None) -> dict[str, Any] | None:
    import torch
    import torch._dynamo

    from porter.validate.cases.base import Library, Unavailable
    from porter.validate.seeding import seed_all
    from porter.validate.settings import make_settings
    from porter.validate.weights import prepare

    case, library, settings = load_case(name), Library(package), make_settings(config, "tiny")
    seed_all(0)
    torch._dynamo.reset()
    try:
        told = case.describe(library, settings)
        model = case.build(library, told)
        prepare(model, 0)
        batch = case.batch(model, told, settings, torch.Generator().manual_seed(0))
        case.finish(model)
        model.train(case.training)
        found = torch._dynamo.explain(lambda: case.run(model, batch))()
    except Unavailable:
        return None
    except Exception as error:  # of torch's own, or of a case that only a process group can run
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    return {"graphs": found.graph_count, "breaks": [_place(reason) for reason in found.break_reasons]}


def _place(reason: Any) -> str:
    at = reason.user_stack[-1]
    return f"{Path(at.filename).name}:{at.lineno} {reason.reason.splitlines()[0]}"


def shown(upstream: dict[str, dict[str, Any]], port: dict[str, dict[str, Any]]) -> int:
    """Print the table; 1 where the port has more graphs, and more breaks."""
    table = Table("case", "graphs upstream", "graphs port", "breaks of the port")
    more = 0
    for name in (name for name in TITLES if name in upstream and name in port):
        ours, theirs = port[name], upstream[name]
        counted = "graphs" in ours and "graphs" in theirs
        more_breaks = counted and len(ours["breaks"]) > len(theirs["breaks"])
        worse = ("failed" in ours and "failed" not in theirs) or (more_breaks and ours["graphs"] > theirs["graphs"])
        more += worse
        breaks = ours.get("failed") or "\n".join(list(dict.fromkeys(ours["breaks"]))[:_SHOWN]) * worse
        row = (name, str(theirs.get("graphs", "–")), str(ours.get("graphs", "–")), breaks)
        table.add_row(*row, style="red" if worse else "")
    console = Console()
    console.print(table)
    console.print(f"{more} of {table.row_count} cases have more graphs and more breaks in the port than upstream.")
    return int(more > 0)


if __name__ == "__main__":
    sys.exit(main())
