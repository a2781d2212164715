"""Which imports of a file nothing uses that is taken from it; from its syntax tree, nothing is executed."""

from __future__ import annotations

import ast
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .closure import closure
from .facts import syntax

REPLACED = frozenset({"ffmpeg"})  # packages in whose place a rule puts the emitted runtime

_BY_NAME = frozenset({"eval", "exec", "globals", "locals", "vars", "__getattr__"})  # may use any name, unseen

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def spared(text: str, wanted: Iterable[str]) -> frozenset[str]:
    """Packages that a file imports at its top, as modules, and that only functions use which `wanted` does not reach.

    `wanted` are names that others take from the file. Empty where that cannot be told.
    """
    tree = syntax(text)
    if _names(tree) & _BY_NAME:
        return frozenset()
    packages = _imported_as_modules(tree)
    reached = _reached(tree, wanted)
    needed = {package for name, package in packages if name in reached} | _imported_otherwise(tree)
    return frozenset(package for _, package in packages) - needed


def _imported_as_modules(tree: ast.Module) -> list[tuple[str, str]]:
    """The names that `import` at the top of a file binds to one module each, and the packages of these."""
    imports = (statement for statement in tree.body if isinstance(statement, ast.Import))
    return [
        (alias.asname or alias.name, alias.name.partition(".")[0])
        for alias in itertools.chain.from_iterable(statement.names for statement in imports)
        if alias.asname is not None or "." not in alias.name
    ]


def _reached(tree: ast.Module, wanted: Iterable[str]) -> frozenset[str]:
    """The names that a file reads when it is imported and when what is `wanted` of it is called, and `wanted`."""
    used: dict[str, set[str]] = defaultdict(set)  # by each function or class at the top
    on_import: set[str] = set()
    for statement in tree.body:
        on_import.update(_used_on_import(statement))
        if isinstance(statement, (*_Function, ast.ClassDef)):
            used[statement.name] |= _names(statement)
    return closure(on_import.union(wanted), lambda names: (new for name in names & used.keys() for new in used[name]))


def _used_on_import(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement reads when the file is imported."""
    parts: list[ast.AST | None] = [statement]
    match statement:
        case ast.Import() | ast.ImportFrom():
            parts = []
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
            every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
            parts = [*statement.decorator_list, *args.defaults, *args.kw_defaults, statement.returns]
            parts += [argument.annotation for argument in every if argument is not None]
        case ast.ClassDef():
            parts = [*statement.decorator_list, *statement.bases, *(word.value for word in statement.keywords)]
            for inner in statement.body:
                yield from _used_on_import(inner)
    for part in parts:
        if part is not None:
            yield from _names(part)


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.name for part in ast.walk(node) if isinstance(part, _Function) and part.name in _BY_NAME
    }


def _imported_otherwise(tree: ast.Module) -> set[str]:
    """Packages that a file imports in another way than `import package` at its top."""
    top = set(map(id, tree.body))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.partition(".")[0]
                for alias in node.names
                if id(node) not in top or (alias.asname is None and "." in alias.name)
            }
    return found
