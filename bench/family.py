"""Ports checkouts and wheels of the VITS family as they lie, and says of each what came of it, as rows of a table.

    python bench/family.py UPSTREAM... [--json]

UPSTREAM is what `sovits-port generate` takes. Columns: the main folder, or why it was refused; the files of upstream in
the port; hazards fixed, waived and residual; how many of the modules whose networks others build (with --all: of all
modules of the port) can be imported, with upstream behind the port on the path. Modules that want a package that is not
installed here are counted apart. Nothing is written outside a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.spec import base_name, is_path
from porter.package.manifest import folders_to_import
from porter.package.store import Place

_SECONDS = 300.0
_IMPORT = """
import importlib, json, sys
names, absent, wrong = json.loads(sys.argv[1]), {}, {}
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        here = (error.name or "").startswith("module.tpu")
        (wrong if here else absent)[name] = str(error)
    except BaseException as error:
        wrong[name] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps({"absent": absent, "wrong": wrong}))
"""


@dataclass(frozen=True)
class Row:
    """What came of one upstream."""

    upstream: str
    main: str  # the main folder, or why it was refused
    files: int = 0  # of upstream, in the port
    fixed: int = 0
    waived: int = 0
    residual: int = 0
    imported: int = 0  # modules of the port
    absent: int = 0  # those that want a package which is not installed here
    wrong: tuple[str, ...] = ()  # those that fail otherwise, and why


def main() -> int:
    """Print the table; exit status 1 where something was refused or a module fails for a reason of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("upstreams", nargs="+", metavar="UPSTREAM")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--all", action="store_true", help="import every module of the port, trainers too")
    arguments = parser.parse_args()
    good = True
    if not arguments.json:
        heads = ("upstream", "main folder", "files", "fixed / waived / residual", "imported", "want a package", "fail")
        print(f"| {' | '.join(heads)} |")
        print("|---|---|---|---|---|---|---|")
    for upstream in arguments.upstreams:
        row = try_upstream(upstream, whole=arguments.all)
        good &= bool(row.files) and not row.wrong
        if arguments.json:
            print(json.dumps(asdict(row)), flush=True)
            continue
        hazards = f"{row.fixed} / {row.waived} / {row.residual}"
        cells = (row.upstream, row.main, row.files, hazards, row.imported, row.absent, len(row.wrong))
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        for one in row.wrong:
            print(f"  {one}", file=sys.stderr)
    return int(not good)


def try_upstream(upstream: str, *, whole: bool) -> Row:
    """Port one upstream, and import its modules: those with networks that others build, or the `whole`."""
    shown = base_name(Path(upstream)) if is_path(upstream) and Path(upstream).is_dir() else upstream
    with tempfile.TemporaryDirectory() as folder:
        try:
            snapshot = open_upstream(upstream)
            manifest = generate(snapshot, Place(Path(folder, "port")), Settings()).manifest
        except PortError as error:
            return Row(shown, f"refused: {error}")
        behind = Path(folder, "upstream")
        snapshot.materialize([path for path in snapshot.files() if path.endswith((".py", ".json"))], behind)
        records = manifest["files"]
        wanted = {network["file"] for network in manifest["scope"]["networks"]}
        names = [
            name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for name, record in records.items()
            if record["upstream"] is not None and "-" not in name and (whole or record["upstream"] in wanted)
        ]
        found = _import(names, (Path(folder, "port"), *(behind / f for f in folders_to_import(manifest))))
        hazards = manifest["hazards"]
        wrong = tuple(f"{name}: {why.splitlines()[0][:200]}" for name, why in found["wrong"].items())
        return Row(
            shown,
            manifest["upstream"]["module"] or ".",
            sum(record["upstream"] is not None for record in records.values()),
            hazards["fixed"],
            hazards["waived"],
            hazards["residual"],
            len(names) - len(found["absent"]) - len(wrong),
            len(found["absent"]),
            wrong,
        )


def _import(names: list[str], search: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "SOVITS_PORT_DEVICE": "cpu"}
    command = [sys.executable, "-W", "ignore", "-c", _IMPORT, json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_SECONDS, check=False)
    try:
        told: dict[str, dict[str, str]] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"absent": {}, "wrong": dict.fromkeys(names, done.stderr[-200:] or "the process died")}
    return told


if __name__ == "__main__":
    sys.exit(main())
