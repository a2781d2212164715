"""A package with some of its edits left out: those of rules, and those made by hand since it was generated."""

from __future__ import annotations

import ast
import difflib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from porter.analysis.project import Project
from porter.codemod import rulebook
from porter.codemod.engine import Asked, apply, no_collection, visit
from porter.errors import PortError
from porter.generate.fingerprint import engine_hash
from porter.generate.settings import Settings
from porter.inputs.sources import Sources, collect
from porter.inputs.upstream import Snapshot
from porter.package.emit import PACKAGE, Emitted, layout
from porter.rule import Rule
from porter.syntax.stack import with_room
from porter.validate.manifest import Manifest
from porter.validate.outcome import Culprit

Lines = list[bytes]


@dataclass(frozen=True)
class Change:
    """Lines `start` to `end` (from 0, `end` not included) of a file as generated become `new`."""

    file: str  # inside the package
    start: int
    end: int
    new: tuple[bytes, ...]


@dataclass(frozen=True)
class Candidate:
    """An edit that may be left out: a rule's, or lines changed by hand."""

    edit: Asked | Change
    culprit: Culprit  # how it is told
    file: str  # inside the package
    first: int  # lines of the package as it is, from 1
    last: int


def check_reproducible(manifest: Manifest, rules: Sequence[Path]) -> None:
    """PortError unless generating again, with these folders of rules, would make the very edits of the package."""
    if manifest.rulebook and manifest.rulebook != Settings(rules=tuple(rules)).rulebook_hash():
        raise PortError("the package was made with other rules; give the same --rules, or run generate again")
    if manifest.engine and manifest.engine != engine_hash():
        raise PortError("the package was made by another version of this tool; run generate again")


class Variants:
    """The package, and everything that it would be without some of its edits."""

    def __init__(self, snapshot: Snapshot, manifest: Manifest, rules: Sequence[Path]) -> None:
        """Parse upstream and let the rules speak. PortError as `check_reproducible`."""
        check_reproducible(manifest, rules)
        self._snapshot, self._manifest = snapshot, manifest
        self._sources = collect(snapshot, manifest.sources)
        chosen = rulebook.load(rules).selected(manifest.select, manifest.ignore)
        with no_collection():
            self._project = with_room(lambda: _visited(self._sources, chosen))
        self._made = self._lay_out(frozenset())
        self._generated = {name: _lines(emitted.content) for name, emitted in self._made.items()}
        self._own = _on_disk(manifest.package)

    def write(self, folder: Path, without: Collection[Candidate]) -> None:
        """Put the package without these edits at `folder`, which becomes what holds `module`."""
        shutil.rmtree(folder, ignore_errors=True)
        undone = {c.edit for c in without if isinstance(c.edit, Change)}
        texts = self._generated_without(frozenset(c.edit for c in without if not isinstance(c.edit, Change)))
        for name in sorted({*texts, *self._own}):
            old = self._generated.get(name)
            lines = self._own[name] if old is None else texts[name]
            if old is not None:
                kept = [change for change in self._changes.get(name, ()) if change not in undone]
                lines = merged(old, changes(name, old, texts[name]), kept)
            path = folder / PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(lines))
        (folder / "module" / "__init__.py").touch()

    def _generated_without(self, edits: frozenset[Asked]) -> dict[str, list[bytes]]:
        """What the rules make of upstream without these edits, by file."""
        if not edits:
            return self._generated
        return {name: _lines(emitted.content) for name, emitted in self._lay_out(edits).items()}

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every edit but those of imports, which only hold the package together; hand edits first."""
        return (*self._by_hand(), *self._by_rules())

    def function(self, candidate: Candidate) -> str:
        """`FILE:QUALIFIED NAME` of the innermost function or class of the package around an edit."""
        for name, first, last in self._functions.get(candidate.file, ()):
            if first <= candidate.first and candidate.last <= last:
                return f"{candidate.file}:{name}"
        return f"{candidate.file}:"

    @cached_property
    def _functions(self) -> dict[str, list[tuple[str, int, int]]]:
        files = {**self._generated, **self._own}
        return with_room(lambda: {name: list(_functions(b"".join(lines))) for name, lines in files.items()})

    @cached_property
    def _changes(self) -> dict[str, list[Change]]:
        """What was changed by hand, by file."""
        return {
            name: found
            for name, lines in self._own.items()
            if name in self._generated and (found := changes(name, self._generated[name], lines))
        }

    def _by_hand(self) -> Iterator[Candidate]:
        for name, found in self._changes.items():
            moved = 0
            for change in found:
                first = change.start + moved + 1
                moved += len(change.new) - (change.end - change.start)
                if not all(
                    _is_silent(line) for line in (*self._generated[name][change.start : change.end], *change.new)
                ):
                    told = Culprit("", "", f"{name}:{first}", "edited by hand since it was generated")
                    yield Candidate(change, told, name, first, first + max(0, len(change.new) - 1))

    def _by_rules(self) -> Iterator[Candidate]:
        files = {emitted.upstream: emitted for emitted in self._made.values()}
        for edit in with_room(lambda: apply(self._project).edits):
            if edit.rule.startswith("PKG"):
                continue
            emitted, span = files[edit.file], edit.target_span
            first = self._moved(edit.target, emitted.line(span.line))
            last = self._moved(edit.target, emitted.line(span.end_line))
            told = Culprit(edit.rule, f"{edit.file}:{edit.span.line}", f"{edit.target}:{first}", edit.reason)
            yield Candidate(edit.asked, told, edit.target, first, last)

    def _moved(self, name: str, line: int) -> int:
        """Where a line of a generated file is in the package as it is."""
        before = [change for change in self._changes.get(name, ()) if change.end < line]
        return line + sum(len(change.new) - (change.end - change.start) for change in before)

    def _lay_out(self, without: Collection[Asked]) -> dict[str, Emitted]:
        """Generated files by their name inside the package."""
        spec, revision = self._snapshot.spec, self._snapshot.revision
        files = with_room(lambda: layout(apply(self._project, without), self._sources, spec=spec, revision=revision))
        inside = f"{PACKAGE}/"
        return {name.removeprefix(inside): emitted for name, emitted in files.items() if name.startswith(inside)}


def _visited(sources: Sources, rules: Sequence[type[Rule]]) -> Project:
    project = Project.parse(sources.texts, sources.arrangement)
    visit(project, rules)
    return project


def changes(name: str, old: Lines, new: Lines) -> list[Change]:
    """What makes `new` of `old`, in order."""
    if old == new:
        return []
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [Change(name, a, b, tuple(new[c:d])) for kind, a, b, c, d in blocks if kind != "equal"]


def merged(old: Lines, theirs: Sequence[Change], ours: Sequence[Change]) -> Lines:
    """`old` with both made of it; where they meet, `ours` alone."""
    wanted = [*ours, *(change for change in theirs if not any(_meet(change, own) for own in ours))]
    result = list(old)
    for change in sorted(wanted, key=lambda change: change.start, reverse=True):
        result[change.start : change.end] = change.new
    return result


def _meet(a: Change, b: Change) -> bool:
    return (a.start < b.end and b.start < a.end) or (a.start <= b.end and b.start <= a.end and _is_empty(a, b))


def _is_empty(*found: Change) -> bool:
    return any(change.start == change.end for change in found)


def _is_silent(line: bytes) -> bool:
    """Whether a line does nothing: blank, or a comment."""
    text = line.strip()
    return not text or text.startswith(b"#")


def _lines(content: bytes) -> Lines:
    return content.splitlines(keepends=True)


def _on_disk(package: Path) -> Mapping[str, Lines]:
    paths = sorted(path for path in package.rglob("*.py") if path.is_file())
    return {path.relative_to(package).as_posix(): _lines(path.read_bytes()) for path in paths}


def _functions(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Qualified name, first and last line of each function and class, the innermost first."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return

    def inside(node: ast.AST, around: str) -> Iterator[tuple[str, int, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{around}{child.name}"
                yield from inside(child, f"{name}.")
                yield name, child.lineno, child.end_lineno or child.lineno
            else:
                yield from inside(child, around)

    yield from inside(tree, "")
