"""Whether a package can work at all, without running it: its names, imports and calls, from the syntax alone."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath

from porter.package.emit.parts import runtime_files
from porter.syntax.loose_names import problem


def problems(
    changed: Sequence[str],
    upstream: Mapping[str, str],
    before: Mapping[str, str],
    after: Mapping[str, str],
    targets: Mapping[str, str],
) -> Iterator[str]:
    """What is wrong with the files `after`, of which those in `changed` differ from `before`, which work.

    All by path upstream; `targets` are their places inside the package.
    """
    places = {targets[path]: text for path, text in after.items()} | dict(runtime_files())
    for path in changed:
        try:
            tree = ast.parse(after[path])
        except SyntaxError as error:
            yield f"{path} is not Python: {error}"
            continue
        why = problem((upstream[path],), after[path])
        if why:
            yield f"{path}: {why}"
        known = {name for _, name in _unbound(_parsed(upstream[path]))}
        for line, name in _unbound(tree):
            if name not in known:
                yield f"{path}:{line}: {name} is not assigned anywhere before"
        yield from (f"{path}:{line}: {why}" for line, why in _imports(tree, targets[path], places))
    if changed:
        known = {name for name, _ in _misfits(before.values())}  # of another library, by the same name
        yield from (f"the call {call} does not fit" for name, call in _misfits(after.values()) if name not in known)


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _unbound(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names that a function reads on a line above all that assign them."""
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        own = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
        looped = {n for loop in ast.walk(function) if isinstance(loop, (ast.For, ast.While)) for n in ast.walk(loop)}
        stored: dict[str, int] = {}
        for name in own:
            if isinstance(name.ctx, ast.Store):
                stored[name.id] = min(stored.get(name.id, name.lineno), name.lineno)
        parameters = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        for name in own:
            first = stored.get(name.id)
            if not isinstance(name.ctx, ast.Load) or first is None or name in looped:
                continue
            if name.lineno < first and name.id not in parameters and not hasattr(builtins, name.id):
                yield name.lineno, name.id


def _imports(tree: ast.Module, place: str, places: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Names that are imported from files of the package which do not have them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = PurePosixPath(place).parts[: -node.level]
        inside = "/".join((*folder, *(node.module or "").split("."))).strip("/")
        files = [f"{inside}.py", f"{inside}/__init__.py".lstrip("/")]
        text = next((places[f] for f in files if f in places), None)
        for alias in node.names:
            there = f"{inside}/{alias.name}".lstrip("/")
            if f"{there}.py" in places or f"{there}/__init__.py" in places or alias.name == "*":
                continue
            if text is None or alias.name not in _bound(text):
                yield node.lineno, f"{inside or 'the package'} has no {alias.name}"


@cache
def _bound(text: str) -> frozenset[str]:
    """The names that a file binds at its top."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return frozenset(found)


def _misfits(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Calls of functions of the project, by names that only one function has, with arguments that do not fit it: the
    name, and the call.
    """
    trees = [_parsed(text) for text in texts]
    defined: dict[str, list[ast.FunctionDef]] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                defined.setdefault(node.name, []).append(node)
    for tree in trees:
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, (ast.Name, ast.Attribute)):
                name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
                functions = defined.get(name, [])
                if len(functions) == 1 and not _fits(call, functions[0]):
                    yield name, ast.unparse(call)


def _fits(call: ast.Call, function: ast.FunctionDef) -> bool:
    arguments = function.args
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return True
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    given = set(names[: len(call.args)]) | {k.arg for k in call.keywords if k.arg}
    known = {*names, *(a.arg for a in arguments.kwonlyargs)}
    needed = set(names[: len(names) - len(arguments.defaults)])
    return (
        (len(call.args) <= len(names) or arguments.vararg is not None)
        and (given <= known or arguments.kwarg is not None)
        and needed <= given
    )
