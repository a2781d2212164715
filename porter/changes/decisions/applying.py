"""Following people's decisions: upstream's lines or a person's own in place of what the rules wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import libcst as cst

from ...codemod.engine import Asked, Edit, Rewrites, Rewritten, asked
from ...codemod.rebuild import Rebuilt
from ...codemod.requests import Requests
from ...codemod.ties import with_dependants
from ...errors import PortError
from ...package.manifest import DecisionRecord
from ...package.manifest.describe import edit_record
from ...syntax.alignment import matcher
from ...syntax.spans import Rendering, Span
from ...syntax.text import split_lines
from ..hunks import Hunk, Sides, by_file, hunks_in, numbered
from .model import Decision, decision, is_outdated
from .splicing import Splice, Spliced, splice_file


@dataclass(frozen=True, slots=True)
class Change:
    """A file with decisions followed."""

    spliced: Spliced
    edits: Mapping[str, Sequence[Edit]]  # by a hunk's key: the rules' edits there, with their places as they were


@dataclass(frozen=True, slots=True)
class Decided:
    """A project after the rules, and after people."""

    rewrites: Rewrites  # what is to be emitted
    undecided: Rewrites  # what the rules alone would have
    changes: Mapping[str, Change]  # by path upstream: only files that are not as the rules have them
    records: tuple[DecisionRecord, ...]  # of every decision, in order of place


def decide(rewrites: Rewrites, decisions: Sequence[Decision]) -> Decided:
    """Follow `decisions`; those whose code is gone do nothing and are told as stale.

    PortError names a decision that leaves a file which is not Python, or uses names that nothing defines.
    """
    if not decisions:
        return Decided(rewrites, rewrites, {}, ())
    edits: dict[str, list[Edit]] = {}
    hunks: dict[str, Hunk] = {}  # by key
    for rewritten in rewrites.files.values():
        for hunk, made in _hunks(rewritten):
            hunks[hunk.key], edits[hunk.key] = hunk, made
    followed = [*decisions, *_along(rewrites, hunks.values(), edits, decisions)]
    by_path = by_file(hunks.values())
    changes: dict[str, Change] = {}
    for path, rewritten in rewrites.files.items():
        spliced = splice_file(split_lines(rewritten.text), by_path.get(rewritten.file.target, ()), followed)
        if spliced.splices and spliced.text != rewritten.text:
            changes[path] = Change(spliced, edits)
    files = {**rewrites.files, **{path: _followed(rewrites.files[path], change) for path, change in changes.items()}}
    records = sorted((_record(d, hunks.get(d.key)) for d in decisions), key=lambda r: (r["file"], r["line"], r["key"]))
    return Decided(replace(rewrites, files=files), rewrites, changes, tuple(records))


def _along(
    rewrites: Rewrites, hunks: Collection[Hunk], edits: Mapping[str, Sequence[Edit]], decisions: Sequence[Decision]
) -> list[Decision]:
    """Rejections of the other hunks with edits that mean nothing without those that a person rejected; the same go
    along with a note. PortError where the person wants one of them.
    """
    told = {d.key: d for d in decisions}
    rejected = {key: told[key] for key in edits if key in told and told[key].what == "reject"}
    if not rejected:
        return []
    found: list[Decision] = []
    while more := _next_along(rewrites, hunks, edits, rejected):
        for hunk, cause in more:
            if hunk.key in told:
                raise PortError(
                    f"{named(told[hunk.key], hunk)} cannot be followed: its lines mean nothing without those that "
                    f"{named(cause)} rejects; change it with sovits-port review"
                )
            rejected[hunk.key] = cause
            found.append(decision(hunk, "reject", reason=cause.reason))
    return found


def _next_along(
    rewrites: Rewrites, hunks: Iterable[Hunk], edits: Mapping[str, Sequence[Edit]], rejected: Mapping[str, Decision]
) -> list[tuple[Hunk, Decision]]:
    """Hunks that go with those rejected so far, each with the decision that is the cause."""
    gone = _gone(rewrites, {edit.asked: cause for key, cause in rejected.items() for edit in edits[key]})
    first = ((hunk, next(filter(None, (gone.get(edit.asked) for edit in edits[hunk.key])), None)) for hunk in hunks)
    return [(hunk, cause) for hunk, cause in first if cause is not None and hunk.key not in rejected]


def _gone(rewrites: Rewrites, causes: Mapping[Asked, Decision]) -> dict[Asked, Decision]:
    """The edits that are refused and those that mean nothing without them, each with the decision that is the cause."""
    places = {request: asked(f, request) for f in rewrites.project.files.values() for request in f.fact(Requests)}
    refused = {request: causes[place] for request, place in places.items() if place in causes}
    return {places[request]: cause for request, cause in with_dependants(rewrites.project, refused).items()}


def named(decision: Decision, hunk: Hunk | None = None) -> str:
    """A decision in words that lead to it."""
    file, line = (hunk.path, hunk.line) if hunk is not None else (decision.file, decision.line)
    return f"the decision {decision.key} ({decision.what} {file}:{line})"


def _hunks(rewritten: Rewritten) -> Iterator[tuple[Hunk, list[Edit]]]:
    """The hunks of a file as the rules have it, places without a header, and the edits of each."""
    file = rewritten.file
    records = [edit_record(edit, lambda line: line) for edit in rewritten.edits]
    made = {id(record): edit for record, edit in zip(records, rewritten.edits, strict=True)}
    old = split_lines(file.source)
    sides = Sides(file.path, file.target, old, split_lines(rewritten.text), (0, 0))
    for hunk in numbered(hunks_in(sides, records)):
        yield hunk, [made[id(record)] for record in hunk.edits]


def _followed(rewritten: Rewritten, change: Change) -> Rewritten:
    """A file with its decisions followed. PortError where it cannot work so."""
    file, spliced = rewritten.file, change.spliced
    why, blamed = spliced.trouble(file.source)
    if not why:
        try:
            module = cst.parse_module(spliced.text)
        except (cst.ParserSyntaxError, RecursionError):
            why, blamed = "the file is not Python any more", tuple(s.decision for s in spliced.splices)
    if why:
        hunks = {s.hunk.key: s.hunk for s in spliced.splices}
        told = " and ".join(named(d, hunks[d.key]) for d in blamed)
        raise PortError(f"{told} cannot be followed: {why}; change it with sovits-port review")
    edits = tuple(sorted(_edits(rewritten, change)))
    kept = tuple(replace(k, target_line=spliced.moved(k.target_line - 1) + 1) for k in rewritten.kept)
    lines = tuple(_origins(file.source, spliced.text, edits))
    return Rewritten(file, Rebuilt(module), Rendering(module), edits, kept, lines, spliced.text)


def _edits(rewritten: Rewritten, change: Change) -> Iterator[Edit]:
    """The edits that are left, where they stand now: those of a hunk that a person wrote are all of its lines."""
    spliced = change.spliced
    splices = {id(edit): s for s in spliced.splices for edit in change.edits[s.hunk.key]}
    for edit in rewritten.edits:
        splice = splices.get(id(edit))
        if splice is None:
            span = edit.target_span
            first, last = spliced.moved(span.line - 1) + 1, spliced.moved(span.end_line - 1) + 1
            yield replace(edit, target_span=Span(first, span.column, last, span.end_column))
        elif splice.decision.what == "edit":
            yield replace(edit, target_span=_whole(spliced, splice))


def _whole(spliced: Spliced, splice: Splice) -> Span:
    start, end = spliced.place(splice)
    if start == end:
        return Span(start + 1, 0, start + 1, 0)
    return Span(start + 1, 0, end, len(splice.lines[-1].rstrip("\r\n")))


def _origins(upstream: str, text: str, edits: Sequence[Edit]) -> Iterator[int]:
    """The line upstream, from 1, of each line of a text that came from it."""
    old, new = split_lines(upstream), split_lines(text)
    for kind, a, b, c, d in matcher(old, new).get_opcodes():
        for line in range(c, d):
            if kind == "equal":
                yield a + line - c + 1
                continue
            around = [e for e in edits if e.target_span.line <= line + 1 <= e.target_span.end_line]
            nearest = min(around, key=lambda e: e.target_span.end_line - e.target_span.line, default=None)
            yield nearest.span.line if nearest is not None else min(a + line - c, max(a, b - 1)) + 1


def _record(decision: Decision, hunk: Hunk | None) -> DecisionRecord:
    return {
        "key": decision.key,
        "what": decision.what,
        "reason": decision.reason,
        "file": hunk.path if hunk else decision.file,
        "line": hunk.line if hunk else decision.line,
        "scope": hunk.scope if hunk else decision.scope,
        "stale": hunk is None,
        "outdated": hunk is not None and is_outdated(decision, hunk),
    }
