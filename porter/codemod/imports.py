"""Import statements of the result: from-imports that rules split, and the runtime's own import."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import starmap
from typing import cast

import libcst as cst

from ..analysis.project import SourceFile
from ..rule import Rule
from ..syntax.importing import from_imports, taken_as
from ..syntax.walk import descendants
from .requests import ImportEdit, Replacement, Request, Requests, RuleHeader, Safety


class RuntimeImport(Rule):
    """The rewritten lines call the emitted runtime, so the file has to import it."""

    code = "PKG002"
    title = "import the emitted runtime"
    safety = Safety.EXACT
    message = "imports the runtime that the rewritten lines of this file call"
    fixes_hazard = False
    ours = True


def add_import_edits(file: SourceFile, chosen: dict[cst.CSTNode, Replacement], refused: Collection[Request]) -> None:
    """Add to `chosen` the edits of import statements that the rules' other edits in `file` bring with them.

    Names in `refused` stay where they come from. Where anything is, only what is left needs of the runtime is imported.
    """
    for whole in file.fact(Requests).import_edits.values():
        edit = whole.without(refused) if refused else whole
        if edit.moved:
            split = _split(file, edit)
            chosen[split.node] = split
    if not refused:
        add_import_path(file, chosen)
    added = runtime_import(file, _called(file, chosen.values()) if refused else file.fact(Requests).runtime_aliases)
    if added is None:
        return
    anchor = _anchor(file, chosen)
    place = file.module.body[_after_docstring(file.module)] if anchor is None else anchor
    edit_there = chosen.get(place) or Replacement(RuntimeImport, place, place, RuntimeImport.message)
    old = _statements(edit_there.new)
    chosen[place] = replace(edit_there, new=(added, *old) if anchor is None else (*old, added))


def _split(file: SourceFile, edit: ImportEdit) -> Replacement:
    """The edit of one from-import."""
    (rule, reason), *others = _credits(edit)
    new = split_import(file, edit)
    line = file.alone(edit.node)
    if line is None:
        return Replacement(rule, edit.node, new, reason, shared=tuple(others))
    first, *more = (cst.SimpleStatementLine([small]) for small in new)
    first = first.with_changes(trailing_whitespace=line.trailing_whitespace)
    return Replacement(rule, line, (first, *more), reason, shared=tuple(others))


def _credits(edit: ImportEdit) -> list[tuple[type[RuleHeader], str]]:
    """The rules that move names of one import, and what each says of its own."""
    names: dict[type[RuleHeader], list[str]] = {}
    for alias, move in edit.moved.items():
        names.setdefault(move.rule, []).append(alias.evaluated_name)
    return [(rule, f"{rule.message} ({', '.join(own)})") for rule, own in names.items()]


_KEPT = ("get_xla_device", "mark_step", "optimizer_step")  # names of `module.tpu.utils` that training loops import


def add_import_path(file: SourceFile, chosen: dict[cst.CSTNode, Replacement]) -> None:
    """Let upstream's own `utils` have the names that people import from `module.tpu.utils`, where the runtime stepped
    aside for it.
    """
    wanted = [name for name in _KEPT if name not in file.index.root.bindings]
    runtime = file.project.runtime
    if not runtime or file.target not in ("utils.py", "utils/__init__.py") or not wanted or not file.module.body:
        return
    names = ", ".join(f"{name} as {name}" for name in wanted)
    line = cst.parse_statement(f"from {file.level}{runtime}.utils import {names}")
    last = file.module.body[-1]
    before = _statements(chosen[last].new) if last in chosen else (last,)
    reason = f"module.tpu.utils has {', '.join(wanted)}, as in every port"
    chosen[last] = Replacement(RuntimeImport, last, (*before, line), reason)


def _statements(new: cst.CSTNode | tuple[cst.CSTNode, ...]) -> tuple[cst.CSTNode, ...]:
    return new if isinstance(new, tuple) else (new,)


def _after_docstring(module: cst.Module) -> int:
    return 1 if module.get_docstring() is not None and len(module.body) > 1 else 0


def runtime_import(file: SourceFile, aliases: Mapping[str, str]) -> cst.SimpleStatementLine | None:
    """`from . import ops, utils` as a file needs it: parts of the runtime, and what they are called there."""
    if not aliases:
        return None
    names = ", ".join(starmap(taken_as, sorted(aliases.items())))
    line = cst.parse_statement(f"from {file.level}{file.project.runtime} import {names}")
    assert isinstance(line, cst.SimpleStatementLine)
    return line


def split_import(file: SourceFile, edit: ImportEdit) -> tuple[cst.ImportFrom, ...]:
    """The imports that replace one from-import whose names now come from several modules."""
    kept = edit.kept
    whole = None if kept else _renamed(file, edit)
    if whole is not None:
        return (whole,)
    result: list[cst.ImportFrom] = []
    if kept:
        last = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        result.append(edit.node.with_changes(names=[*kept[:-1], last], semicolon=cst.MaybeSentinel.DEFAULT))
    moved = {alias: move.target for alias, move in edit.moved.items()}
    return (*result, *map(_parsed, from_imports(moved, file.origin)))


def _renamed(file: SourceFile, edit: ImportEdit) -> cst.ImportFrom | None:
    """The same from-import, layout and all, of another module, if that is all that changes."""
    modules = {move.target.rpartition(".")[0] for move in edit.moved.values()}
    if len(modules) != 1 or any(a.evaluated_name != m.target.rpartition(".")[2] for a, m in edit.moved.items()):
        return None
    name = modules.pop()
    new = _parsed(f"from {file.origin(name)} import x")
    return edit.node.with_changes(module=new.module, relative=new.relative)


def _parsed(text: str) -> cst.ImportFrom:
    line = cst.parse_statement(text)
    assert isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.ImportFrom)
    return line.body[0]


def _is_import(statement: cst.CSTNode) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and bool(statement.body)
        and all(isinstance(s, (cst.Import, cst.ImportFrom)) for s in statement.body)
    )


def _anchor(file: SourceFile, chosen: Mapping[cst.CSTNode, Replacement]) -> cst.BaseStatement | None:
    """The last import before the first definition, or before the first line that calls the runtime when the file is
    imported; the runtime's import goes right behind it.
    """
    calling = {_top(file, node) for node, edit in chosen.items() if _calls_runtime(file, edit)}
    found: cst.BaseStatement | None = None
    for statement in file.module.body:
        if isinstance(statement, (cst.FunctionDef, cst.ClassDef)) or statement in calling:
            break
        if _is_import(statement):
            found = cast(cst.BaseStatement, statement)
    return found


def _top(file: SourceFile, node: cst.CSTNode) -> cst.CSTNode | None:
    """The statement of the module itself that a node is part of."""
    while (parent := file.parent(node)) is not None:
        if parent is file.module:
            return node
        node = parent
    return None


def _calls_runtime(file: SourceFile, edit: Replacement) -> bool:
    lines = [new for new in _statements(edit.new) if not _is_import(new)]
    return not _names(lines).isdisjoint(file.fact(Requests).runtime_aliases.values())


def _called(file: SourceFile, edits: Iterable[Replacement]) -> dict[str, str]:
    """The parts of the runtime that some edits call, by the names that they have in the file."""
    names = frozenset().union(*(_names(_statements(edit.new)) for edit in edits))
    return {package: alias for package, alias in file.fact(Requests).runtime_aliases.items() if alias in names}


def _names(lines: Iterable[cst.CSTNode]) -> frozenset[str]:
    """The names in what an edit puts in."""
    return frozenset(n.value for new in lines for n in descendants(new) if type(n) is cst.Name)
