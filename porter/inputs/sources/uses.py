"""What a file of upstream does with networks of the port: which it builds, for which versions, and what for."""

from __future__ import annotations

import ast
import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
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
_EXPORTS = re.compile(r"^[^#\n]*\btorch\.(?:jit|onnx)\b", re.MULTILINE)
_SAVES = re.compile(r"^[^#\n]*\btorch\.save[ \t]*\(", re.MULTILINE)
_LEARNS = re.compile(r"^[^#\n]*\.(?:manual_)?backward[ \t]*\(", re.MULTILINE)


def uses(survey: Survey, path: str, networks: Mapping[str, frozenset[str]]) -> Uses:
    """What the file `path` does with `networks`: names of classes by file."""
    if not survey.names(path, {"torch", *map(_module_name, networks)}):
        return Uses({}, Role.OTHER)  # an import of a file names it
    computes = survey.facts(path).uses_torch and not survey.tree.inside(path)
    built = _built(survey, path, networks)
    role = _role(survey, path) if computes else None
    return Uses(built, role or (Role.SPEAKS if built else Role.OTHER))


def _role(survey: Survey, path: str) -> Role | None:
    """What a file outside the main folder does with torch, by what it calls; None where that tells nothing."""
    facts, text = survey.facts(path), survey.text(path)
    if _EXPORTS.search(text):
        return Role.EXPORTS
    if facts.networks:
        return None
    if _LEARNS.search(text) or _has_trainer(survey, path):
        return Role.TRAINS
    return Role.PREPARES if _SAVES.search(text) else None


def _module_name(path: str) -> str:
    """The last part of the name by which a file is imported."""
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[-2] if parts[-1] == "__init__" and parts[1:] else parts[-1]


def _has_trainer(survey: Survey, path: str) -> bool:
    """Whether a file takes the Trainer of Lightning, which is what runs the loop there."""
    return any(
        "Trainer" in statement.names and "lightning" in statement.module.partition(".")[0]
        for statement in survey.facts(path).imports
    )


def adapters(survey: Survey, path: str) -> frozenset[str]:
    """Kinds of adapters that a file trains in place of all weights: LoRA of peft."""
    names = {name for i in survey.facts(path).imports if i.module.partition(".")[0] == "peft" for name in i.names}
    return frozenset({"LoRA"} if any(name.startswith("Lora") for name in names) else ())


def _built(survey: Survey, path: str, networks: Mapping[str, frozenset[str]]) -> dict[Network, frozenset[str]]:
    linked = {statement.line for statement, files in survey.links(path).items() if files[-1] in networks}
    if not linked:
        return {}
    tree = survey.syntax(path)
    classes, modules = _imported(survey, path, tree, networks, linked)
    found: dict[Network, frozenset[str]] = {}
    named = re.compile(
        rf"\b(?:{'|'.join(map(re.escape, {*classes, *(name.partition('.')[0] for name in modules)}))})\b"
    )
    lines = [n for n, line in enumerate(_LINE_END.split(survey.text(path)), 1) if named.search(line)]
    for call, versions in _calls(tree, lines, constants(tree)):
        meant: set[Network] = set()
        if isinstance(call.func, ast.Name):
            meant = classes.get(call.func.id, meant)
        elif isinstance(call.func, ast.Attribute):
            file = modules.get(ast.unparse(call.func.value), "")
            meant = {(file, call.func.attr)} if call.func.attr in networks.get(file, ()) else meant
        for network in meant:
            found[network] = found.get(network, frozenset()) | versions
    return found


def _imported(
    survey: Survey, path: str, tree: ast.Module, networks: Mapping[str, frozenset[str]], linked: set[int]
) -> tuple[dict[str, set[Network]], dict[str, str]]:
    """The networks that a file imports in the lines `linked`, by local name, and the files, by that of their module."""
    classes: dict[str, set[Network]] = {}
    modules: dict[str, str] = {}
    for node in _statements(tree, sorted(linked)):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        files = [files[-1] for statement, files in survey.links(path).items() if statement.line == node.lineno]
        for file, alias in itertools.product((file for file in files if file in networks), node.names):
            local = alias.asname or alias.name
            if isinstance(node, ast.ImportFrom) and alias.name in networks[file]:
                classes.setdefault(local, set()).add((file, alias.name))
            else:
                modules[local] = file
    return classes, modules


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
