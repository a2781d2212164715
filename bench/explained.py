"""A second opinion on a change summary: the two packages' texts, line by line, with difflib alone.

Every line of a package that another run did not write the same has to be told: it is in the header, upstream changed
that line, or it belongs to a rewrite that the summary has as new, gone or changed. And every such rewrite has to show.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.changes.packages.changes import Changed, Changes, FileChange, Rewrite
    from porter.package.base import Base
    from porter.package.manifest import EditRecord, Manifest

    Package = tuple[Manifest, Base]


def disagreements(changes: Changes, old: Package, new: Package) -> tuple[int, int, list[str]]:
    """Lines of both packages that differ, how many of them nothing tells of, and all that does not agree."""
    made = changes.rewrites
    gone = [*made.gone, *(pair.before for pair in made.changed)]
    fresh = [*made.new, *(pair.after for pair in made.changed)]
    silent = [rewrite for pair in made.changed if quiet(pair, old, new) for rewrite in (pair.before, pair.after)]
    wrong = counts(changes, old[0], new[0]) + files(changes, old, new)
    paired = [rewrite for pair in made.changed for rewrite in (pair.before, pair.after)]
    lines = unexplained = 0
    for name in sorted({*old[1].generated, *new[1].generated}):
        before, after = text(old, name), text(new, name)
        removed, added = differing(before, after)
        often, then = Counter(before), Counter(after)
        for side, package, other, told, theirs, found in (
            ("old", old, new, gone, fresh, removed),
            ("new", new, old, fresh, gone, added),
        ):
            known = explained(name, package, other, told, theirs)
            here = before if side == "old" else after
            # A line that both have as often is only aligned with another one of upstream's.
            lost = [n for n in sorted(found) if n not in known and often[here[n - 1]] != then[here[n - 1]]]
            lines += len(found)
            unexplained += len(lost)
            wrong += [f"nothing tells of line {line} of the {side} {name}" for line in lost]
            target = name.removeprefix(f"{package[0]['package']}/")
            for rewrite in told:
                if rewrite in silent or (rewrite not in paired and vanishes(rewrite, package, other)):
                    continue
                covered = range(rewrite.target_line, rewrite.target_end_line + 1)
                if rewrite.target == target and not any(line in found for line in covered):
                    wrong.append(f"{rewrite.rule} in line {rewrite.target_line} of the {side} {name} does not show")
    return lines, unexplained, wrong


def quiet(pair: Changed, old: Package, new: Package) -> bool:
    """Whether a changed rewrite need not show in the package: it may come out the same.

    So does another rule that writes the same, and what upstream edited, such as an import of a renamed folder.
    """
    if pair.why != "upstream":
        return pair.why == "rule"
    sides = ((pair.before, old, new), (pair.after, new, old))
    return any(
        rewrite.line in upstream_lines(package, other, f"{package[0]['package']}/{rewrite.target}")
        for rewrite, package, other in sides
    )


def vanishes(rewrite: Rewrite, package: Package, other: Package) -> bool:
    """Whether a rewrite only takes out what the other upstream does not have: then neither package shows it."""
    manifest = package[0]
    known = upstream_lines(package, other, f"{manifest['package']}/{rewrite.target}")
    places = [
        e
        for e in manifest["edits"]
        if (e["rule"], e["target"], e["line"]) == (rewrite.rule, rewrite.target, rewrite.line)
    ]
    return rewrite.line in known and all(
        (e["target_line"], e["target_column"]) == (e["target_end_line"], e["target_end_column"]) for e in places
    )


def upstream_lines(package: Package, other: Package, name: str) -> set[int]:
    """Lines of one package's upstream that are not in the other's, of the file that became `name`."""
    paths = [side[0]["files"][name]["upstream"] if name in side[0]["files"] else None for side in (package, other)]
    texts = [
        [] if path is None else split(side[1].upstream[path])
        for path, side in zip(paths, (package, other), strict=True)
    ]
    return differing(texts[0], texts[1])[0]


def explained(
    name: str, package: Package, other: Package, told: Iterable[Rewrite], theirs_told: Iterable[Rewrite]
) -> set[int]:
    """Lines of one package's file (from 1) that the header, upstream or a told rewrite accounts for.

    A rewrite of the other package alone stands for upstream's lines in this one.
    """
    manifest, base = package
    record = manifest["files"].get(name)
    if record is None:
        return set()
    header = range(record["header_at"] + 1, record["header_at"] + record["header_lines"] + 1)
    found = set(header)
    target = name.removeprefix(f"{manifest['package']}/")
    for rewrite in told:
        if rewrite.target == target:
            found.update(range(rewrite.target_line, rewrite.target_end_line + 1))
    path = record["upstream"]
    if path is None:
        return found
    lines = split(base.upstream[path])
    theirs = other[0]["files"].get(name)
    their_path = None if theirs is None else theirs["upstream"]
    their_lines = [] if their_path is None else split(other[1].upstream[their_path])
    moved, _ = differing(lines, their_lines)
    plain = {(r.rule, r.target, r.line) for r in theirs_told}
    spans = [e for e in other[0]["edits"] if (e["rule"], e["target"], e["line"]) in plain and e["target"] == target]
    rewritten = {line for e in spans for line in range(e["line"], e["end_line"] + 1)}
    moved |= {line for line, there in origins(their_lines, lines).items() if there in rewritten}
    written = split(base.generated[name])
    if any(not lines[line - 1].strip() for line in moved):
        # Of empty lines in a row any may count as the one that came or went.
        found |= {number for number, line in enumerate(written, 1) if not line.strip()}
    edits = [edit for edit in manifest["edits"] if edit["target"] == target]
    origin = origins(lines, written)
    found |= {line for line, upstream in origin.items() if upstream in moved}
    for edit in edits:
        if any(line in moved for line in range(edit["line"], edit["end_line"] + 1)):
            found.update(range(edit["target_line"], edit["target_end_line"] + 1))
    return found


def origins(upstream: Sequence[str], written: Sequence[str]) -> dict[int, int]:
    """Which line of upstream a line of the package is, for lines that no rule touched."""
    blocks = difflib.SequenceMatcher(None, upstream, written, autojunk=False).get_matching_blocks()
    return {b + i + 1: a + i + 1 for a, b, size in blocks for i in range(size)}


def differing(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """Lines (from 1) that a diff removes, and that it adds."""
    removed: set[int] = set()
    added: set[int] = set()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            removed.update(range(a + 1, b + 1))
            added.update(range(c + 1, d + 1))
    return removed, added


def counts(changes: Changes, old: Manifest, new: Manifest) -> list[str]:
    """What is wrong with the numbers of rewrites and hazards."""
    made = changes.rewrites
    paired = len(made.changed) + len(made.moved) + made.kept
    wrong = []
    if paired + len(made.gone) != len(old["edits"]):
        wrong.append(f"{paired} + {len(made.gone)} rewrites are told of {len(old['edits'])} before")
    if paired + len(made.new) != len(new["edits"]):
        wrong.append(f"{paired} + {len(made.new)} rewrites are told of {len(new['edits'])} now")
    # A rewrite that is no news has the same rule on both sides.
    before, after = by_rule(old["edits"]), by_rule(new["edits"])
    before -= Counter(r.rule for r in (*made.gone, *(pair.before for pair in made.changed)))
    after -= Counter(r.rule for r in (*made.new, *(pair.after for pair in made.changed)))
    if before != after:
        wrong.append("rewrites that are told as the same have different rules")
    for status in ("residual", "waived"):
        balance = new["hazards"]["residual" if status == "residual" else "waived"]
        balance -= old["hazards"]["residual" if status == "residual" else "waived"]
        hazards = changes.hazards
        told = sum(h.status == status for h in hazards.new) - sum(h.status == status for h in hazards.gone)
        if told != balance:
            wrong.append(f"{told} more {status} hazards are told and there are {balance} more")
    return wrong


def by_rule(edits: Iterable[EditRecord]) -> Counter[str]:
    """How many rewrites each rule made."""
    return Counter(edit["rule"] for edit in edits)


def files(changes: Changes, old: Package, new: Package) -> list[str]:
    """What is wrong with the lists of files, and with what is called reformatted."""
    told = {change.file for change in changes.package}
    before, after = old[1].generated, new[1].generated
    differ = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    wrong = [f"{name} differs and is not told, or the other way round" for name in sorted(told ^ differ)]
    ours, theirs = old[1].upstream, new[1].upstream
    there = {path for path in {*ours, *theirs} if ours.get(path) != theirs.get(path)}
    named = {change.file for change in changes.upstream} | {c.was for c in changes.upstream if c.was}
    wrong += [f"{path} changed upstream and is not told, or the other way round" for path in sorted(named ^ there)]
    return wrong + [f"{c.file}: told as {c.kind}" for c in changes.upstream if misnamed(c, ours, theirs)]


def misnamed(change: FileChange, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """Whether a file is called laid out anew whose code without docstrings changed, or the other way round."""
    before, after = old.get(change.was or change.file), new.get(change.file)
    if before is None or after is None:
        return change.kind != ("added" if before is None else "removed")
    if ast.dump(ast.parse(before)) == ast.dump(ast.parse(after)):
        return change.kind == "changed"
    return change.kind in ("reformatted", "comments") and bare(before) != bare(after)


def bare(source: bytes) -> str:
    """The syntax tree without strings that stand for themselves."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree)


def text(package: Package, name: str) -> list[str]:
    """Lines of a file of the package; none where there is no such file."""
    return split(package[1].generated.get(name, b""))


def split(content: bytes) -> list[str]:
    """Lines with their ends, whatever the codec: only their being equal counts."""
    return [line.decode("latin-1") for line in re.findall(rb"[^\n]*\n|[^\n]+", content)]
