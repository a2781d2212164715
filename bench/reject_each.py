"""Reject every hunk of an upstream's port, one at a time, and judge what is left.

    python bench/reject_each.py UPSTREAM [--sample N] [--pairs N]

Each time: the file is Python, upstream's lines stand at that place and every other line is as it was, each edit is
accounted for, and what the rejected edits had fixed is residual, once. Hunks whose rejection is refused, since other
lines need what they bring, are listed. With --sample, N random hunks instead of all; with --pairs, N random pairs too.
Status 1 where anything fails.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from porter.analysis.project import Project
from porter.changes.decisions import decision
from porter.changes.decisions.account import account_for
from porter.changes.decisions.applying import Decided, decide
from porter.changes.hunks import Hunk, Sides, hunks_in, numbered
from porter.codemod import rulebook
from porter.codemod.engine import Rewrites, no_collection, rewrite
from porter.errors import PortError
from porter.hazards.account import account
from porter.hazards.hazard import Hazard, Status, count
from porter.inputs.sources import collect
from porter.inputs.upstream import open_upstream
from porter.package.manifest.describe import edit_record
from porter.syntax.text import split_lines


def main() -> int:
    """Try all, print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--pairs", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with no_collection():
        project = Project.parse(collect(open_upstream(arguments.upstream)).texts)
        rewrites = rewrite(project, rulebook.load().selected())
    before = account(rewrites)
    hunks = all_hunks(rewrites)
    draw = random.Random(arguments.seed)
    sample = len(hunks) if arguments.sample is None else min(arguments.sample, len(hunks))
    chosen: list[Sequence[Hunk]] = [[hunk] for hunk in (hunks if sample == len(hunks) else draw.sample(hunks, sample))]
    chosen += [draw.sample(hunks, 2) for _ in range(arguments.pairs)]
    repeated = any("." in hunk.key for hunk in hunks)
    wrong: list[str] = []
    refused: list[str] = []
    residual: Counter[int] = Counter()
    for number, rejected in enumerate(chosen, 1):
        if sys.stderr.isatty():
            print(f"\r{number} of {len(chosen)}", end="", file=sys.stderr)
        named = " and ".join(f"{h.path}:{h.line} {' '.join(h.rules)}" for h in rejected)
        try:
            decided = decide(rewrites, [decision(hunk, "reject") for hunk in rejected])
        except PortError as error:
            refused.append(f"{named}: {error}")
            continue
        after = account_for(decided)
        # With those that mean nothing without them.
        rejected = [splice.hunk for change in decided.changes.values() for splice in change.spliced.splices]
        wrong += [f"{named}: {why}" for why in failures(rewrites, decided, rejected, before, after)]
        if not repeated and after_keys(decided) != Counter(h.key for h in hunks if h not in rejected):
            wrong.append(f"{named}: the other hunks are not what they were")
        gone = sum(edit.fixes_hazard for edit in rewrites.edits) - sum(e.fixes_hazard for e in decided.rewrites.edits)
        residual[count(after)["residual"] - count(before)["residual"] - gone] += 1
    print(
        f"{sample} of {len(hunks)} hunks, {len(chosen) - sample} pairs: {len(wrong)} failures, {len(refused)} refused"
    )
    print("residual hazards more than edits left out:", dict(sorted(residual.items())))
    for line in (*wrong, *refused):
        print(f"  {line}")
    return int(bool(wrong))


def all_hunks(rewrites: Rewrites) -> list[Hunk]:
    """Every hunk, with places in texts without a header."""
    found: list[Hunk] = []
    for path, rewritten in rewrites.files.items():
        old, new = split_lines(rewritten.file.rendering.text), split_lines(rewritten.text)
        records = [edit_record(edit, lambda line: line) for edit in rewritten.edits]
        found += numbered(hunks_in(Sides(path, rewritten.file.target, old, new, (0, 0)), records))
    return found


def fixing(rewrites: Rewrites) -> set[str]:
    """Codes of the rules that take hazards away."""
    return {edit.rule for edit in rewrites.edits if edit.fixes_hazard}


def after_keys(decided: Decided) -> Counter[str]:
    """Keys of the hunks that are left."""
    return Counter(hunk.key for hunk in all_hunks(decided.rewrites))


def failures(
    rewrites: Rewrites, decided: Decided, rejected: Sequence[Hunk], before: Sequence[Hazard], after: Sequence[Hazard]
) -> list[str]:
    """What is wrong with a project whose `rejected` hunks are upstream's again."""
    wrong = []
    for path, rewritten in rewrites.files.items():
        mine = sorted((h for h in rejected if h.path == path), key=lambda h: h.target_line, reverse=True)
        lines = list(split_lines(rewritten.text))
        for hunk in mine:
            lines[hunk.target_line - 1 : hunk.target_line - 1 + len(hunk.new)] = hunk.old
        text = decided.rewrites.files[path].text
        if text != "".join(lines):
            wrong.append(f"{path} is not the rules' text with upstream's lines in it")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        except SyntaxError as error:
            wrong.append(f"{path} is not Python: {error}")
    told = sum(len(h.edits) for h in rejected)
    if len(decided.rewrites.edits) != len(rewrites.edits) - told:
        wrong.append("some edits are neither left out nor there")
    refused = Counter(
        (e["file"], e["line"], e["rule"]) for h in rejected for e in h.edits if e["rule"] in fixing(rewrites)
    )
    again = Counter((h.file, h.line, h.code) for h in after if h.status is Status.RESIDUAL)
    again -= Counter((h.file, h.line, h.code) for h in before if h.status is Status.RESIDUAL)
    if Counter({place: again[place] for place in refused}) != refused:
        wrong.append(f"{sum(refused.values())} hazards were fixed here, and not as many are residual")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
