"""Regenerate across upstream's history, and check what the summary says against a diff of the packages.

    python bench/regenerate.py UPSTREAM_GIT --from 20250606v2pro --to 48b1a01 --commits 10

UPSTREAM_GIT is a git repository on this machine. Commits that touch files the port is made from are taken, evenly
if there are more than asked for; if there are fewer, others that touch Python code. Each is ported over the package
of the one before it, and the change summary that `generate` gives is checked line by line (bench/explained.py).
Generating once more must find nothing to do, and so must `status`. At the end upstream's newest sources, laid out
anew by `ruff format`, are ported over the package of the same sources as they are: no rewrite may be new, gone or
changed, and no file may count as really changed.
Exit status 1 on disagreement.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from porter.changes.packages.changes import Changes
    from porter.generate import GenerateOutcome
    from porter.package.base import Base
    from porter.package.manifest import Manifest

_WIDTH = "{:>9} {:>9}  {:>8} {:>5}  {:>4} {:>4} {:>7} {:>5} {:>5}  {:>6}  {:>6} {:>11}  {:>5}"


def main() -> int:
    """Run it all; status 1 where a summary and a diff disagree, or an unchanged run is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--from", dest="first", default="20250606v2pro")
    parser.add_argument("--to", dest="last", default="48b1a01")
    parser.add_argument("--commits", type=int, default=10, metavar="N")
    arguments = parser.parse_args()
    repository = arguments.repository.resolve()
    commits = pick(repository, arguments.first, arguments.last, arguments.commits)
    print(f"{len(commits)} commits of {repository.parent.name if repository.name == 'repo' else repository.name}")
    head = (
        "from",
        "to",
        "upstream",
        "same",
        "new",
        "gone",
        "changed",
        "moved",
        "kept",
        "hazard",
        "lines",
        "unexplained",
    )
    print(_WIDTH.format(*head, "sec"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        wrong = [
            said
            for number, commit in enumerate(commits)
            for said in step(f"{repository}@{commit}", out, commits[number - 1] if number else "", commit)
        ]
        wrong += reformatted(repository, commits[-1], Path(folder))
    for said in wrong:
        print(said)
    print(f"{len(wrong)} disagreements")
    return int(bool(wrong))


def pick(repository: Path, first: str, last: str, count: int) -> list[str]:
    """Commits from `first` to `last`, oldest first: both, and between them those that touch ported files first."""
    paths = {path for commit in (first, last) for path in inputs(f"{repository}@{commit}")}
    ends = [git(repository, "rev-parse", f"{name}^{{commit}}").strip() for name in (first, last)]

    def between(*touching: str) -> list[str]:
        found = git(repository, "rev-list", "--reverse", "--topo-order", f"{first}..{last}", "--", *touching).split()
        return [commit for commit in found if commit not in ends]

    room = max(0, count - len(ends))
    inner = spread(between(*sorted(paths)), room)
    code = between("*.py")
    more = spread([commit for commit in code if commit not in inner], room - len(inner))
    return [commit[:9] for commit in (ends[0], *(c for c in code if c in {*inner, *more}), ends[1])]


def spread(commits: list[str], count: int) -> list[str]:
    """As many of them as asked for, evenly."""
    if len(commits) <= count:
        return commits
    return [commits[round(i * (len(commits) - 1) / max(1, count - 1))] for i in range(count)]


def inputs(upstream: str) -> list[str]:
    """Paths of upstream's files that a port is made from or consults."""
    from porter.generate import Settings, build
    from porter.inputs.upstream import open_upstream

    manifest = build(open_upstream(upstream), Settings()).manifest
    ported = [record["upstream"] for record in manifest["files"].values()]
    return [path for path in ported if path is not None] + list(manifest["consulted"])


def step(upstream: str, out: Path, before: str, commit: str) -> list[str]:
    """Port one commit over the package in `out`; print a row; what is wrong."""
    from porter.package.manifest import read

    old = None if read(out) is None else load(out)
    start = time.perf_counter()
    outcome = port(upstream, out)
    seconds = time.perf_counter() - start
    wrong = up_to_date(upstream, out)
    if old is not None:
        if outcome.changes is None:
            return [f"{commit}: generate over a package told no changes", *wrong]
        wrong += row(before, commit, outcome.changes, old, load(out), seconds)
    return [f"{before} → {commit}: {said}" for said in wrong]


def row(
    before: str,
    commit: str,
    changes: Changes,
    old: tuple[Manifest, Base],
    new: tuple[Manifest, Base],
    seconds: float,
) -> list[str]:
    """Print what one pair came to; what the summary and the diff do not agree on."""
    from bench.explained import disagreements

    lines, unexplained, wrong = disagreements(changes, old, new)
    made = changes.rewrites
    same = sum(change.kind in ("reformatted", "comments", "renamed") for change in changes.upstream)
    print(
        _WIDTH.format(
            before, commit, len(changes.upstream) - same, same, len(made.new), len(made.gone), len(made.changed),
            len(made.moved), made.kept, len(changes.hazards.residual), lines, unexplained, f"{seconds:.1f}",
        ),
        flush=True,
    )  # fmt: skip
    return wrong


def port(upstream: str, out: Path) -> GenerateOutcome:
    """Generate over whatever is in `out`."""
    from porter.codemod.engine import no_collection
    from porter.generate import Settings, generate
    from porter.inputs.upstream import open_upstream
    from porter.package.store import Place

    with no_collection():
        return generate(open_upstream(upstream), Place(out), Settings())


def up_to_date(upstream: str, out: Path) -> list[str]:
    """What is wrong with generating again, which must write nothing, and with status, which must say so."""
    from porter.changes.status import standing
    from porter.inputs.upstream import open_upstream
    from porter.package.store import Place

    wrong = ["a second generate wrote again"] if port(upstream, out).written else []
    if standing(open_upstream(upstream), Place(out)).stale:
        wrong.append("status calls a fresh package stale")
    return wrong


def reformatted(repository: Path, commit: str, folder: Path) -> list[str]:
    """Port one commit as it is and after `ruff format`; what the summary says beyond that."""
    from porter.inputs.upstream import open_upstream

    snapshot = open_upstream(f"{repository}@{commit}")
    checkout, out = folder / "checkout", folder / "formatted"
    paths = inputs(f"{repository}@{commit}")
    whole = [path for path in snapshot.files() if path.endswith(".py") and path.rpartition("/")[0] in folders(paths)]
    snapshot.materialize(whole, checkout)
    port(str(checkout), out)
    old = load(out)
    # A width of its own, or there would be nothing to do where upstream uses ruff itself.
    options = ["--isolated", "--line-length", "72", "--quiet"]
    subprocess.run([sys.executable, "-m", "ruff", "format", *options, str(checkout)], check=True)
    start = time.perf_counter()
    changes = port(str(checkout), out).changes
    if changes is None:
        return ["reformatted: generate told no changes"]
    wrong = row(commit, "formatted", changes, old, load(out), time.perf_counter() - start)
    made = changes.rewrites
    wrong += [f"{change.file} is told as {change.kind}" for change in changes.upstream if change.kind != "reformatted"]
    wrong += [f"{r.file}:{r.line}: {r.rule} is told as new or gone" for r in (*made.new, *made.gone)]
    wrong += [f"{p.after.file}:{p.after.line}: {p.after.rule} is told as changed ({p.why})" for p in made.changed]
    wrong += [
        f"{h.file}:{h.line}: hazard {h.code} is told as new or gone"
        for h in (*changes.hazards.new, *changes.hazards.gone)
    ]
    return [f"reformatted: {said}" for said in wrong]


def folders(paths: list[str]) -> set[str]:
    """Folders of files, and all around them."""
    found = {path.rpartition("/")[0] for path in paths}
    for folder in list(found):
        parts = folder.split("/")
        found |= {"/".join(parts[:i]) for i in range(len(parts))}
    return found


def load(out: Path) -> tuple[Manifest, Base]:
    """The package in `out`, as it was written."""
    from porter.package.base import read_base
    from porter.package.manifest import read

    manifest = read(out)
    assert manifest is not None
    return manifest, read_base(out, manifest)


def git(repository: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
