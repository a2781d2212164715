"""Which imports of a file nothing uses that is taken from it; from its syntax tree, nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator

REPLACED = frozenset({"ffmpeg"})  # packages in whose place a rule puts the emitted runtime

_BY_NAME = frozenset({"eval", "exec", "globals", "locals", "vars", "__getattr__"})  # may use any name, unseen

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def spared(text: str, wanted: Iterable[str]) -> frozenset[str]:
    """Packages that a file imports at its top, as modules, and that only functions use which `wanted` does not reach.

    `wanted` are names that others take from the file. Empty where that cannot be told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    definitions: dict[str, list[ast.stmt]] = {}
    reached: set[str] = set(wanted)
    for statement in tree.body:
        if isinstance(statement, (*_Function, ast.ClassDef)):
            definitions.setdefault(statement.name, []).append(statement)
        reached |= set(_used_on_import(statement))
    pending = list(reached)
    while pending:
        for definition in definitions.get(pending.pop(), ()):
            new = _names(definition) - reached
            reached |= new
            pending += new
    if _names(tree) & _BY_NAME:
        return frozenset()
    bound = [
        (alias.asname or alias.name, alias.name.partition(".")[0])
        for statement in tree.body
        if isinstance(statement, ast.Import)
        for alias in statement.names
        if alias.asname is not None or "." not in alias.name
    ]
    needed = {package for name, package in bound if name in reached} | _imported_otherwise(tree)
    return frozenset(package for _, package in bound) - needed


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
