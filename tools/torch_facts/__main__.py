"""`collect FILE` asks the installed pair; `merge FILE...` makes the data from what several pairs said.

Running all samples on XLA takes some ten minutes. The newest pair has to; of others the kernels tell what differs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .merging import merge, write

DATA = Path(__file__).parents[2] / "porter" / "torch_facts"


def main() -> None:
    """The two commands."""
    parser = argparse.ArgumentParser(prog="python -m tools.torch_facts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect")
    collecting.add_argument("file", type=Path)
    collecting.add_argument("--kernels-only", action="store_true", help="run no samples on XLA")
    commands.add_parser("merge").add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "collect":
        from .collecting import collect

        given.file.write_text(json.dumps(collect(run=not given.kernels_only)), encoding="utf-8")
    else:
        write(DATA, merge([json.loads(path.read_text(encoding="utf-8")) for path in given.files]))


if __name__ == "__main__":
    main()
