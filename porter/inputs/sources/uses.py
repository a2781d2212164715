"""What a file of upstream does with networks of the port: which it builds, for which versions, and what for."""

from __future__ import annotations

import ast
import itertools
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .versions import constants, guarded_versions

if TYPE_CHECKING:
    from .survey import Survey

Network = tuple[str, str]  # file, class


class Role(Enum):
    """What running a file is for."""

    TRAINS = "trains"
    PREPARES = "prepares"  # writes tensors to files and trains nothing
    EXPORTS = "exports"  # to TorchScript or ONNX
    SPEAKS = "speaks"  # builds networks, and none of the above
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Uses:
    """The networks that a file builds → the versions that it does so for, where it asks; and its role."""

    built: Mapping[Network, frozenset[str]]
    role: Role


_LINE_END = re.compile(r"\r\n|\r|\n")  # as Python counts lines
# What stands before the first word is asked behind it: a pattern that begins with a word is searched for much faster.
_EXPORTS = re.compile(r"torch(?<!\wtorch)\.(?:jit|onnx)\b")
_SAVES = re.compile(r"torch(?<!\wtorch)\.save[ \t]*\(")
_LEARNS = re.compile(r"backward(?:(?<=\.backward)|(?<=\.manual_backward))[ \t]*\(")


def uses(survey: Survey, path: str, networks: Mapping[str, frozenset[str]]) -> Uses:
    """What the file `path` does with `networks`: names of classes by file."""
    if not survey.names(path, {"torch", *(_module_name(file) for file, classes in networks.items() if classes)}):
        return Uses({}, Role.OTHER)  # an import of a file names it
    computes = survey.facts(path).uses_torch and not survey.tree.inside(path)
    built = _built(survey, path, networks)
    role = _role(survey, path) if computes else None
    return Uses(built, role or (Role.SPEAKS if built else Role.OTHER))


def _role(survey: Survey, path: str) -> Role | None:
    """What a file outside the main folder does with torch, by what it calls; None where that tells nothing."""
    facts, text = survey.facts(path), survey.text(path)
    if _says(text, _EXPORTS):
        return Role.EXPORTS
    if facts.networks:
        return None
    if _says(text, _LEARNS) or _has_trainer(survey, path):
        return Role.TRAINS
    return Role.PREPARES if _says(text, _SAVES) else None


def _says(text: str, what: re.Pattern[str]) -> bool:
    """Whether a text has something outside of comments, as far as its lines tell."""
    return any("#" not in text[text.rfind("\n", 0, m.start()) + 1 : m.start()] for m in what.finditer(text))


@cache
def _module_name(path: str) -> str:
    """The last part of the name by which a file is imported."""
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[-2] if parts[-1] == "__init__" and parts[1:] else parts[-1]


def _has_trainer(survey: Survey, path: str) -> bool:
    """Whether a file takes the Trainer of Lightning, which is what runs the loop there."""
    return any(
        "Trainer" in statement.names and "lightning" in statement.package for statement in survey.facts(path).imports
    )


def adapters(survey: Survey, path: str) -> frozenset[str]:
    """Kinds of adapters that a file trains in place of all weights: LoRA of peft."""
    names = {name for i in survey.facts(path).imports if i.package == "peft" for name in i.names}
    return frozenset({"LoRA"} if any(name.startswith("Lora") for name in names) else ())


def _built(survey: Survey, path: str, networks: Mapping[str, frozenset[str]]) -> dict[Network, frozenset[str]]:
    linked: dict[int, list[str]] = defaultdict(list)  # line of an import → the files of `networks` that it names
    for statement, files in survey.links(path).items():
        if files[-1] in networks:
            linked[statement.line].append(files[-1])
    if not linked:
        return {}
    tree = survey.syntax(path)
    imported = _imported(tree, networks, linked)
    found: dict[Network, frozenset[str]] = {}
    for call, versions in _calls(tree, imported.lines(survey.text(path)), constants(tree)):
        for network in imported.meant(call, networks):
            found[network] = found.get(network, frozenset()) | versions
    return found


@dataclass(frozen=True, slots=True)
class _Imported:
    """What a file imports of the port, by the names that it has there."""

    classes: dict[str, set[Network]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)  # name → file

    def lines(self, text: str) -> list[int]:
        """The lines that hold one of the names."""
        names = {*self.classes, *(name.partition(".")[0] for name in self.modules)}
        named = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        return [n for n, line in enumerate(_LINE_END.split(text), 1) if named.search(line)]

    def meant(self, call: ast.Call, networks: Mapping[str, frozenset[str]]) -> set[Network]:
        """The networks that a call may build."""
        match call.func:
            case ast.Name(id=name):
                return self.classes.get(name, set())
            case ast.Attribute(value=module, attr=name):
                file = self.modules.get(ast.unparse(module), "")
                return {(file, name)} if name in networks.get(file, ()) else set()
        return set()


def _imported(
    tree: ast.Module, networks: Mapping[str, frozenset[str]], linked: Mapping[int, Sequence[str]]
) -> _Imported:
    """What the imports in some lines bring, each from the files that it is `linked` with."""
    found = _Imported()
    for node in _statements(tree, sorted(linked)):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for file, alias in itertools.product(linked.get(node.lineno, ()), node.names):
            local = alias.asname or alias.name
            if isinstance(node, ast.ImportFrom) and alias.name in networks[file]:
                found.classes.setdefault(local, set()).add((file, alias.name))
            else:
                found.modules[local] = file
    return found


def _holds(node: ast.AST, lines: Sequence[int]) -> bool:
    """Whether a statement stands on one of some lines, which are in order; True for what is none."""
    if not isinstance(node, ast.stmt):
        return True
    at = bisect_left(lines, node.lineno)
    return at < len(lines) and lines[at] <= (node.end_lineno or node.lineno)


def _statements(tree: ast.AST, lines: Sequence[int]) -> Iterator[ast.AST]:
    """The statements that hold one of some lines, outer ones first."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.expr) and _holds(n, lines)]


def _calls(
    tree: ast.AST, lines: Sequence[int], known: Mapping[str, frozenset[str]]
) -> Iterator[tuple[ast.Call, frozenset[str]]]:
    """All calls in statements that hold one of some lines, each with the versions that conditions around it ask for."""
    pending: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while pending:
        node, inside = pending.pop()
        if not _holds(node, lines):
            continue
        if isinstance(node, ast.Call):
            yield node, inside
        if isinstance(node, (ast.If, ast.IfExp)):
            held, other = guarded_versions(node.test, known)
            body = node.body if isinstance(node.body, list) else [node.body]
            orelse = node.orelse if isinstance(node.orelse, list) else [node.orelse]
            pending += [(node.test, inside), *((n, inside | held) for n in body)]
            pending += [(n, inside | other) for n in orelse]
        else:
            pending += [(child, inside) for child in ast.iter_child_nodes(node)]
