"""Whether the same upstream gives the same bytes, whatever runs it and wherever.

    python bench/deterministic.py UPSTREAM [--python PYTHON ...]

Every file that `generate` writes (module/tpu, port.json, port.base) is compared with what the first run wrote: run
again, with other hash seeds, in another working directory, in other locales, with folders that list themselves in
another order, from checkouts whose files were written in another order, and with every other PYTHON (an interpreter
that has the tool's dependencies). Exit status 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from porter.errors import PortError
from porter.inputs.upstream import Snapshot, open_upstream

ROOT = Path(__file__).resolve().parent.parent
_CHILD = """
import sys
sys.path.insert(0, sys.argv.pop(1))
order = sys.argv.pop(1)
if order:
    from bench.listing_order import shuffle_listings
    shuffle_listings(int(order))
from porter.cli import main
main()
"""
_FOLDER = "upstream"  # the name of a checkout is in port.json


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `generate`, and how it differs from the first of its group."""

    group: str  # only runs of one group are the same input
    name: str
    upstream: str
    python: str = sys.executable
    order: str = ""  # seed of the order in which folders list themselves
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run wrote, as SHA-256 by file, and which files differ from the first run's."""

    run: Run
    files: Mapping[str, str]
    size: int  # bytes
    differing: tuple[str, ...]


def runs(upstream: str, pythons: Sequence[str], temporary: Path) -> Iterator[Run]:
    """All runs: of the upstream as it was given, and of checkouts of it. PortError for an upstream that is unusable."""
    snapshot = open_upstream(upstream)
    for python in pythons:
        version = _version(python)
        for name, environment in _environments():
            yield Run("as given", f"{version}, {name}", upstream, python, environment=environment)
        yield Run("as given", f"{version}, folders listed backwards", upstream, python, "0")
    checkouts = [_checkout(snapshot, temporary / name, seed) for name, seed in (("a", 0), ("b", 1), ("c", 2))]
    for python in pythons:
        version = _version(python)
        for number, checkout in enumerate(checkouts):
            written = "sorted" if number == 0 else f"shuffled {number}"
            yield Run("as a folder", f"{version}, files written {written}", str(checkout), python)
        for order in ("0", "1", "2"):
            listed = "backwards" if order == "0" else f"shuffled {order}"
            yield Run("as a folder", f"{version}, folders listed {listed}", str(checkouts[0]), python, order)
        yield Run("as a folder", f"{version}, a path from elsewhere", f"./{_FOLDER}/", python, cwd=checkouts[1].parent)


def generate(run: Run, out: Path) -> dict[str, bytes]:
    """Run it and read what it wrote. PortError where it failed."""
    done = subprocess.run(
        [run.python, "-c", _CHILD, str(ROOT), run.order, "generate", run.upstream, "--out", str(out)],
        cwd=run.cwd,
        env={**os.environ, "PYTHONHASHSEED": "0", **run.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PortError(f"generate failed ({run.name}): {done.stderr.strip()}")
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def compare(wanted: Sequence[Run], temporary: Path) -> list[Result]:
    """Do all runs; each is compared with the first of its group."""
    first: dict[str, Mapping[str, str]] = {}
    results = []
    for number, run in enumerate(track(wanted, "generating", console=Console(stderr=True), transient=True)):
        contents = generate(run, temporary / f"out{number}")
        hashes = {name: sha256(content).hexdigest() for name, content in contents.items()}
        reference = first.setdefault(run.group, hashes)
        differing = tuple(n for n in sorted({*reference, *hashes}) if reference.get(n) != hashes.get(n))
        results.append(Result(run, hashes, sum(map(len, contents.values())), differing))
    return results


def main() -> int:
    """Run all and print; status 1 where a byte differs, 2 for an upstream that is unusable."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--python", action="append", default=[], metavar="PYTHON", dest="pythons")
    arguments = parser.parse_args()
    upstream = arguments.upstream
    if Path(upstream.partition("@")[0]).exists():
        upstream = str(Path(upstream).absolute())
    try:
        with tempfile.TemporaryDirectory(prefix="sovits-same-") as temporary:
            folder = Path(temporary).resolve()
            results = compare(list(runs(upstream, [sys.executable, *arguments.pythons], folder)), folder)
    except PortError as error:
        print(f"deterministic: error: {error}", file=sys.stderr)
        return 2
    _print(results)
    return int(any(result.differing for result in results))


def _environments() -> list[tuple[str, dict[str, str]]]:
    seeds = [(f"hash seed {seed}", {"PYTHONHASHSEED": seed}) for seed in ("0", "1", "4294967295", "random")]
    return [
        *seeds,
        ("locale C, no UTF-8 mode", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("another time zone", {"TZ": "Asia/Kolkata"}),
        ("asserts off", {"PYTHONOPTIMIZE": "2"}),
    ]


def _version(python: str) -> str:
    told = subprocess.run([python, "-V"], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise PortError(f"{python} is no Python that runs")
    return told.stdout.strip()


def _checkout(snapshot: Snapshot, around: Path, seed: int) -> Path:
    """The upstream's Python files and what lies at its top, written in an order that `seed` chooses."""
    paths = [p for p in snapshot.files() if p.endswith(".py") or "/" not in p]
    if seed:
        random.Random(seed).shuffle(paths)
    snapshot.materialize(paths, around / _FOLDER)
    return around / _FOLDER


def _print(results: Sequence[Result]) -> None:
    table = Table("Upstream", "Run", "Files", "Bytes", "Differing")
    for result in results:
        shown = ", ".join(result.differing[:3]) + (" …" if result.differing[3:] else "")
        table.add_row(result.run.group, result.run.name, str(len(result.files)), str(result.size), shown or "none")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    bad = sum(bool(result.differing) for result in results)
    print(f"{len(results)} runs, {bad} of them with a difference")


if __name__ == "__main__":
    sys.exit(main())
