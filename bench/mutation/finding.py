"""All mutants of a file, and a sample of those of a package."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bench.mutation.change import Edit, Mutant, same_code
from bench.mutation.operators import OPERATORS
from bench.mutation.operators.statements import DELETED
from bench.mutation.readers import Readers, readers_of
from bench.mutation.source import Source


def mutants(file: str, source: Source, readers: Readers) -> Iterator[list[Mutant]]:
    """The mutants of one file, those of one operator at one place together."""
    proposed: set[tuple[int, int, str]] = set()
    for node in _running(source):
        for operator in OPERATORS:
            found: list[Mutant] = []
            for edit in operator(source, node):
                if (edit.start, edit.end, edit.new) not in proposed:
                    proposed.add((edit.start, edit.end, edit.new))
                    found.append(_mutant(file, source, node, edit, readers))
            if found:
                yield found


def sample(package: Path, files: Sequence[str], seed: int) -> Iterator[Mutant]:
    """Mutants of a package in random order, without end of places: each place with an operator is as likely.

    Those that compile to what was there, and those that do not compile, are left out. `files` are patterns, all for
    none.
    """
    sources = {file: Source(text) for file, text in read_package(package).items()}
    readers = readers_of(sources)
    wanted = [file for file in sources if not files or any(fnmatchcase(file, pattern) for pattern in files)]
    places = [group for file in wanted for group in mutants(file, sources[file], readers)]
    generator = random.Random(seed)
    generator.shuffle(places)
    for group in places:
        generator.shuffle(group)
        for mutant in group:
            text = sources[mutant.file].text
            if same_code(text, mutant.applied(text)) is False:
                yield mutant
                break


def read_package(package: Path) -> Mapping[str, str]:
    """The files of a package by name, relative to it."""
    names = sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return {name: (package / name).read_text(encoding="utf-8") for name in names}


def _running(source: Source) -> Iterator[ast.AST]:
    """The nodes that run on import or in calls: no annotations, no strings with fields, nothing that is there for type
    checkers only, nor what a file does as a program, which validate names as not judged."""
    waiting: list[ast.AST] = [source.tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and any(name in ast.unparse(node.test) for name in ("TYPE_CHECKING", "__name__")):
            waiting.extend(reversed(node.orelse))
            continue
        if not isinstance(node, ast.Module):
            yield node
        skipped: set[ast.AST | None] = set()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            skipped.add(node.returns)
        if isinstance(node, (ast.arg, ast.AnnAssign)):
            skipped.add(node.annotation)
        children = [child for child in ast.iter_child_nodes(node) if child not in skipped]
        # Python before 3.12 does not tell where the parts of an f-string are.
        waiting.extend(reversed([child for child in children if not isinstance(child, ast.JoinedStr)]))


def _mutant(file: str, source: Source, node: ast.AST, edit: Edit, readers: Readers) -> Mutant:
    statement = source.statement(node)
    deleted = edit.operator == DELETED and (edit.start, edit.end) == source.span(statement)
    cells = readers.cells(file, source, statement, deleted)
    own = (file, source.statements.get(statement, 0))
    return Mutant(
        file=file,
        operator=edit.operator,
        start=edit.start,
        end=edit.end,
        line=source.line(edit.start),
        written=source.text.splitlines()[source.line(edit.start) - 1].strip(),
        inside=source.inside(node),
        old=source.raw[edit.start : edit.end].decode(),
        new=edit.new,
        cells=cells,
        once=cells == (own,) and source.function(statement) is None,
    )
