"""Put a note on the first and on the last edit of each rule in each function, one at a time, and judge what is left.

    python bench/notes.py UPSTREAM [--rule CODE] [--run N] [--seed S]

Each time: nothing of the rule is left at the noted line, every file is Python, no name is used that nothing defines,
what is imported from the package is there, every call of the package's own functions fits them, and no hazard is
forgotten. With --run N, N of the packages, one for each rule first, run the quickest case of `validate --preset tiny`
that runs the noted function, on the CPU. Status 1 where anything fails; notes that are refused are listed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.faults.trial import Bench, copy_package, figure
from bench.whole import problems
from porter.analysis.project import Project
from porter.changes.hunks import scopes_of
from porter.codemod import rulebook
from porter.codemod.engine import Edit, Rewrites, apply, no_collection, visit
from porter.codemod.suppress import Suppressions
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.hazards.account import account
from porter.hazards.hazard import family
from porter.inputs.sources import collect
from porter.inputs.upstream import open_upstream
from porter.package.emit import layout
from porter.package.store import Place
from porter.syntax.text import split_lines
from porter.validate.request import Request


@dataclass(frozen=True)
class Noted:
    """A note on one edit."""

    edit: Edit
    function: str
    notes: Suppressions

    def __str__(self) -> str:
        return f"{self.edit.rule} {self.edit.file}:{self.edit.span.line} in {self.function or 'the file'}"


def main() -> int:
    """Try all, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("--rule", action="append", default=[], metavar="CODE", help="only rules that begin so")
    parser.add_argument("--run", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    started = time.perf_counter()
    snapshot = open_upstream(told.upstream)
    sources = collect(snapshot)
    with no_collection():
        project = Project.parse(sources.texts)
        visit(project, rulebook.load().selected())
        whole = apply(project)
    rules = tuple(told.rule) or ("",)
    noted = [one for one in all_notes(whole) if one.edit.rule.startswith(rules)]
    wrong: list[str] = []
    refused: list[str] = []
    made: list[Noted] = []
    for one in noted:
        try:
            rewrites = apply(project, more_notes={one.edit.file: one.notes})
        except PortError as error:
            refused.append(f"{one}: {error}")
            continue
        wrong += [f"{one}: {why}" for why in failures(one, whole, rewrites)]
        made.append(one)
    print(f"{len(noted)} notes: {len(wrong)} failures, {len(refused)} refused; {time.perf_counter() - started:.0f} s")
    for line in (*wrong, *refused):
        print(f"  {line}", flush=True)
    if told.run:
        with tempfile.TemporaryDirectory(prefix="sovits-notes-") as temporary, ExitStack() as stack:
            unbroken = Path(temporary).resolve() / "unbroken"
            generate(snapshot, Place(unbroken), Settings())
            bench = Bench(snapshot, unbroken, Request("cpu", "tiny", (), 0, 2, 900.0), stack, _say)
            root = copy_package(unbroken, Path(temporary).resolve() / "noted")
            ran = 0
            for one in sample(made, told.run, told.seed):
                rewrites = apply(project, more_notes={one.edit.file: one.notes})
                for name, emitted in layout(rewrites, sources, spec=snapshot.spec, revision=snapshot.revision).items():
                    (root / name).write_bytes(emitted.content)
                why, cases = run(bench, one, root)
                ran += bool(cases)
                wrong += why
                print("".join(f"  {line}\n" for line in why), end="", flush=True)
            print(f"{ran} packages ran; {len(wrong)} failures; {time.perf_counter() - started:.0f} s")
    return int(bool(wrong))


def all_notes(whole: Rewrites) -> Iterator[Noted]:
    """A note on the first and one on the last edit of each rule in each function."""
    groups: dict[tuple[str, str, str], list[Edit]] = {}
    for path, rewritten in whole.files.items():
        scopes = scopes_of(split_lines(rewritten.file.rendering.text))
        for edit in rewritten.edits:
            groups.setdefault((edit.rule, path, scopes(edit.span.line - 1)), []).append(edit)
    for (_, path, function), edits in sorted(groups.items()):
        text = whole.files[path].file.rendering.text
        for edit in dict.fromkeys((edits[0], edits[-1])):
            yield Noted(edit, function, Suppressions(with_note(text, edit)))


def with_note(text: str, edit: Edit) -> str:
    """A text with a note behind the first line of an edit, or, where that is inside a string, behind a later one."""
    lines = list(split_lines(text))
    for number in range(edit.span.line, edit.span.end_line + 2):
        line = lines[number - 1].rstrip("\r\n")
        changed = [*lines[: number - 1], f"{line}  # port: ignore[{edit.rule}]\n", *lines[number:]]
        notes = Suppressions("".join(changed)).notes
        if not line.endswith("\\") and any(note.line == number for note in notes):
            return "".join(changed)
    raise ValueError(f"no place for a note at {edit.file}:{edit.span.line}")


def failures(one: Noted, whole: Rewrites, rewrites: Rewrites) -> Iterator[str]:
    """What is wrong with a project that has one note."""
    (note,) = (n for n in one.notes.notes if one.edit.rule in n.codes)
    for edit in rewrites.edits:
        same = (edit.rule, edit.file) == (one.edit.rule, one.edit.file)
        if same and edit.span.line <= note.last and note.first <= edit.span.end_line:
            yield "an edit of the rule is still there"
    if not any(kept.rule == one.edit.rule and kept.file == one.edit.file for kept in rewrites.kept):
        yield "nothing says that the rule was kept off"
    before = {path: rewritten.text for path, rewritten in whole.files.items()}
    after = {path: rewritten.text for path, rewritten in rewrites.files.items()}
    changed = [path for path in after if after[path] != before[path]]
    upstream = {path: rewritten.file.rendering.text for path, rewritten in whole.files.items()}
    targets = {path: rewritten.file.target for path, rewritten in whole.files.items()}
    yield from problems(changed, upstream, before, after, targets)
    hazards, edits = account(rewrites), rewrites.edits
    left = {edit.asked for edit in edits}
    for gone in (e for e in whole.edits if e.fixes_hazard and e.asked not in left):
        here = [h for h in hazards if h.file == gone.file and gone.span.line <= h.line <= gone.span.end_line]
        # What another rule does now at the same place is told with its own code.
        other = any(e.file == gone.file and e.span.line <= gone.span.line <= e.span.end_line for e in edits)
        if not other and not any(family(h.code) == family(gone.rule) for h in here):
            yield f"nothing tells of the hazard {gone.rule} at {gone.file}:{gone.span.line}"


def sample(made: Sequence[Noted], number: int, seed: int) -> list[Noted]:
    """Some of the notes: one for each rule first."""
    shuffled = random.Random(seed).sample(list(made), len(made))
    first = {one.edit.rule: one for one in shuffled}
    rest = [one for one in shuffled if one is not first[one.edit.rule]]
    return [*first.values(), *rest][:number]


def run(bench: Bench, one: Noted, root: Path) -> tuple[list[str], list[str]]:
    """What the quickest case has against a package, though the unbroken one passes it, and the case's name."""
    names = bench.candidates(one.edit.target, one.function)[:1]
    wrong = []
    for name in names:
        unbroken = bench.unbroken("cpu", name)
        if unbroken is None or not unbroken.outcome.passed:
            continue
        outcome = bench.judge("cpu").other(root).run_port(name, unbroken.place, unbroken.reference, lambda c, s: None)
        if not outcome.passed:
            wrong.append(f"{one}: {name}: {outcome.verdict}: {figure(outcome)}")
    return wrong, names


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
