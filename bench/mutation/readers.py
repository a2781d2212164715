"""Which statements show what another one does: itself, or those that read a name that is set on import.

A name is read by who is in the same file, or in one that imports something of it: other files' names are others.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from pathlib import PurePosixPath

from bench.mutation.change import Cell
from bench.mutation.source import Source


class Readers:
    """Statements inside functions, by the names that they read."""

    def __init__(self, by_name: Mapping[str, tuple[Cell, ...]], imports: Mapping[str, Set[str]]) -> None:
        """`by_name`: a name, with or without an object before it, and who reads it; `imports`: what files import."""
        self._by_name, self._imports = by_name, imports

    def cells(self, file: str, source: Source, statement: ast.stmt, deleted: bool = False) -> tuple[Cell, ...]:
        """The statements of which one at least runs where a change of `statement` matters.

        What is written in a function's head matters once the function runs. What is set on import matters where it is
        read; every run imports it. A condition that is `deleted` with what it guards matters where that runs.
        """
        own = (file, source.statements.get(statement, 0))
        if deleted and isinstance(statement, ast.If) and source.function(statement) is not None:
            return tuple((file, source.statements[block[0]]) for block in (statement.body, statement.orelse) if block)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = [inner for inner in statement.body if inner in source.statements]
            return ((file, source.statements[body[0]]),) if body else (own,)
        if source.function(statement) is not None:
            return (own,)
        readers = (cell for name in _set(statement) for cell in self._by_name.get(name, ()))
        return tuple(cell for cell in readers if cell[0] == file or file in self._imports.get(cell[0], ())) or (own,)


def readers_of(sources: Mapping[str, Source]) -> Readers:
    """Look through all files of a package."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for file, source in sources.items():
        for node in ast.walk(source.tree):
            if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(node.ctx, ast.Load):
                continue
            if source.function(node) is None:
                continue
            statement = source.statement(node)
            if statement in source.statements:
                name = node.id if isinstance(node, ast.Name) else node.attr
                found[name].append((file, source.statements[statement]))
    imports = {file: _imported(file, source, sources) for file, source in sources.items()}
    return Readers({name: tuple(dict.fromkeys(cells)) for name, cells in found.items()}, imports)


def _imported(file: str, source: Source, files: Collection[str]) -> set[str]:
    """Files of the package that one of them imports, or something of them."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*PurePosixPath(file).parts[: -node.level], *filter(None, (node.module or "").split("."))]
            base = "/".join(parts)
            found |= {f"{base}.py", f"{base}/__init__.py".lstrip("/")}
            found |= {f"{base}/{name.name}.py".lstrip("/") for name in node.names}
    return found & set(files)


def _set(statement: ast.stmt) -> Iterator[str]:
    """Names that an assignment sets."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                yield node.id if isinstance(node, ast.Name) else node.attr
