"""Instrumenting a package: each statement that runs sets its own byte in a file, from whatever thread or process."""

from __future__ import annotations

import ast
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.mutation.source import Source

_LOCAL = "__reached__"  # ends with underscores, so that classes leave it as it is
# In each file for itself, since a package may run one of its files as a program.
_OPENED = "with open({path!r}, 'r+b') as {local}: {local} = __import__('mmap').mmap({local}.fileno(), 0)"


@dataclass(frozen=True)
class Cells:
    """The cells of a package: one byte a statement, the files in order."""

    path: Path
    first: Mapping[str, int]  # file → number of its first cell
    counts: Mapping[str, int]  # file → how many it has

    def clear(self) -> None:
        """Set all to zero; a file that is mapped stays the same file."""
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as cells:
            cells[:] = bytes(len(cells))

    def read(self) -> dict[str, list[int]]:
        """Numbers of the statements that ran, by file."""
        raw = self.path.read_bytes()
        found = {}
        for file, first in self.first.items():
            ran = [index for index in range(self.counts[file]) if raw[first + index]]
            if ran:
                found[file] = ran
        return found


def instrument(package: Path, cells: Path) -> Cells:
    """Rewrite the files of `package` in place so that they set the cells, which are made at `cells`."""
    first: dict[str, int] = {}
    counts: dict[str, int] = {}
    total = 0
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package).as_posix()
        source = Source(path.read_text(encoding="utf-8"))
        first[file], counts[file] = total, len(source.statements)
        path.write_text(_instrumented(source, total, cells), encoding="utf-8")
        total += counts[file]
    cells.write_bytes(bytes(max(1, total)))
    return Cells(cells, first, counts)


def _instrumented(source: Source, first: int, cells: Path) -> str:
    numbers = source.statements
    scripted = {node for node in numbers if _is_scripted(source, node)}
    for node in ast.walk(source.tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                setattr(node, name, _marked(block, numbers, scripted, first))
    _open_cells(source.tree, cells)
    return ast.unparse(ast.fix_missing_locations(source.tree))


def _marked(
    block: list[ast.stmt], numbers: Mapping[ast.stmt, int], scripted: set[ast.stmt], first: int
) -> list[ast.stmt]:
    result: list[ast.stmt] = []
    for statement in block:
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if statement in numbers and statement not in scripted and not future:
            place = ast.Subscript(ast.Name(_LOCAL, ast.Load()), ast.Constant(first + numbers[statement]), ast.Store())
            result.append(ast.Assign([place], ast.Constant(1)))
        result.append(statement)
    return result


def _is_scripted(source: Source, statement: ast.stmt) -> bool:
    """Whether TorchScript compiles a statement, which knows no such cells."""
    around = (n for n in source.above(statement) if isinstance(n, ast.FunctionDef))
    return any("script" in ast.unparse(mark) for function in around for mark in function.decorator_list)


def _open_cells(tree: ast.Module, cells: Path) -> None:
    """After the docstring and the imports from the future, which have to come first."""
    place = 0
    for index, statement in enumerate(tree.body):
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if docstring or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            place = index + 1
        else:
            break
    tree.body[place:place] = ast.parse(_OPENED.format(path=str(cells), local=_LOCAL)).body
