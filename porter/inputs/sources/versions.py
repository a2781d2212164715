"""Which versions of the model code is for: what it compares a `version` with, and what that has by default."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

_VERSION = re.compile(r"v\d[\w.]*")

Constants = Mapping[str, frozenset[str]]  # name → the versions in what a file assigns to it at its top


def constants(tree: ast.Module) -> dict[str, frozenset[str]]:
    """The names of a file that stand for collections of versions."""
    found: dict[str, frozenset[str]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, (ast.Set, ast.List, ast.Tuple)):
            versions = _versions(statement.value.elts, {})
            found |= {t.id: versions for t in statement.targets if isinstance(t, ast.Name) and versions}
    return found


def own_versions(node: ast.ClassDef, known: Constants) -> frozenset[str]:
    """The versions that a class is for: those that it tells apart, and its default; empty where it has no default."""
    inits = (f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    default = _versions((value for init in inits for value in _default_versions(init.args)), {})
    if not default:
        return frozenset()
    compared = (part for part in ast.walk(node) if isinstance(part, ast.Compare))
    return default.union(*(_compared(part, known) for part in compared))


def guarded_versions(test: ast.expr, known: Constants) -> tuple[frozenset[str], frozenset[str]]:
    """The versions for which a condition holds, and those for which it does not, as far as it names them."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return frozenset(), frozenset()
    versions = _compared(test, known)
    if isinstance(test.ops[0], (ast.Eq, ast.In)):
        return versions, frozenset()
    return frozenset(), versions if isinstance(test.ops[0], (ast.NotEq, ast.NotIn)) else frozenset()


def in_order(versions: Iterable[str]) -> list[str]:
    """Versions by number, then by name."""
    return sorted(versions, key=lambda v: (not _VERSION.fullmatch(v), [int(n) for n in re.findall(r"\d+", v)], v))


def _compared(node: ast.Compare, known: Constants) -> frozenset[str]:
    sides = [node.left, *node.comparators]
    if not any(_asks_version(side) for side in sides):
        return frozenset()
    return _versions([part for side in sides for part in _parts(side)], known)


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, (ast.Set, ast.List, ast.Tuple)) else [node]


def _versions(nodes: Iterable[ast.expr], known: Constants) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and _is_version(node):
            found.add(str(node.value))
        elif isinstance(node, ast.Name):
            found |= known.get(node.id, frozenset())
    return frozenset(found)


def _is_version(node: ast.Constant) -> bool:
    return isinstance(node.value, str) and _VERSION.fullmatch(node.value) is not None


def _asks_version(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return "version" in name.lower()


def _default_versions(arguments: ast.arguments) -> Iterator[ast.expr]:
    """The defaults of parameters that ask for a version."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
    for argument, value in (*last, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
        if value is not None and _asks_version(ast.Name(argument.arg)):
            yield value
