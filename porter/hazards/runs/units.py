"""Files as units that are reached as a whole: functions, methods, and what runs on import; and what each mentions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(eq=False, slots=True)
class Class:
    """A class at the top of a file; its methods are units of their own."""

    name: str
    bases: tuple[str, ...]  # last parts of their names
    unit: Unit


@dataclass(eq=False, slots=True)
class Unit:
    """A function or method, or the statements around them that run on import of a file or class."""

    path: str
    name: str  # "" for what runs on import
    owner: Class | None
    first: int  # lines, from 1
    last: int
    parameters: tuple[str, ...] = ()
    mentions: set[str] = field(default_factory=set)  # names and attributes that its code reads
    calls: set[str] = field(default_factory=set)  # names and attributes that it calls
    applied: list[ast.expr] = field(default_factory=list)  # what calls give, where that is called in turn
    flows: list[tuple[frozenset[str], ast.expr]] = field(default_factory=list)  # names that are given a value
    passed: list[tuple[str, int | str, ast.expr]] = field(default_factory=list)  # function, parameter, argument
    returned: list[ast.expr] = field(default_factory=list)
    aliases: list[tuple[str, str]] = field(default_factory=list)  # name here, name where it is defined


def units_of(path: str, tree: ast.Module) -> Iterator[Unit]:
    """The units of a file, outer ones first."""
    last = max((getattr(node, "end_lineno", 1) or 1 for node in tree.body), default=1)
    yield from _block(tree.body, Unit(path, "", None, 1, last))


def _block(body: list[ast.stmt], around: Unit) -> Iterator[Unit]:
    yield around
    inside: list[ast.stmt] = []
    _read(body, around, inside)
    for statement in inside:
        first = min([statement.lineno, *(d.lineno for d in statement.decorator_list)])  # type: ignore[attr-defined]
        last = statement.end_lineno or first
        if isinstance(statement, _Function):
            arguments = statement.args
            names = tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
            unit = Unit(around.path, statement.name, around.owner, first, last, names)
            _read(statement.body, unit, None)
            yield unit
        elif isinstance(statement, ast.ClassDef):
            unit = Unit(around.path, "", None, first, last)
            unit.owner = Class(statement.name, tuple(last_name(base) for base in statement.bases), unit)
            yield from _block(statement.body, unit)


def _read(body: list[ast.stmt], unit: Unit, inside: list[ast.stmt] | None) -> None:
    """Note what code mentions. Functions and classes go to `inside`, but for what runs where they are defined."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if inside is not None and isinstance(node, (*_Function, ast.ClassDef)):
            inside.append(node)
            pending += node.decorator_list
            if isinstance(node, ast.ClassDef):
                pending += [*node.bases, *(keyword.value for keyword in node.keywords)]
            else:
                pending += [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            continue
        _note(node, unit)
        pending += ast.iter_child_nodes(node)


def _note(node: ast.AST, unit: Unit) -> None:
    match node:
        case ast.Name(id=name):
            unit.mentions.add(name)
        case ast.Attribute(attr="forward"):  # what it is asked of runs as if it were called
            unit.calls.add(last_name(node.value))
        case ast.Attribute(attr=name):
            unit.mentions.add(name)
        case ast.Call():
            _note_call(node, unit)
        case ast.ImportFrom(names=names):
            unit.aliases += [(alias.asname, alias.name) for alias in names if alias.asname not in (None, alias.name)]
        case ast.Return(value=ast.expr() as value):
            unit.returned.append(value)
        case _:
            unit.flows += _flows(node)


def _note_call(node: ast.Call, unit: Unit) -> None:
    called = last_name(node.func)
    unit.calls.add(called)
    if isinstance(node.func, ast.Call):
        unit.applied.append(node.func)
    if called in ("getattr", "hasattr"):
        unit.mentions |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    unit.passed += [(called, place, argument) for place, argument in enumerate(node.args)]
    unit.passed += [(called, k.arg, k.value) for k in node.keywords if k.arg is not None]


def _flows(node: ast.AST) -> list[tuple[frozenset[str], ast.expr]]:
    """The names that a node gives a value, with the value."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return [(frozenset().union(*map(_targets, targets)), value)]
        case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value) | ast.AugAssign(value=value):
            return [(_targets(node.target), value)]
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            return [(_targets(node.target), node.iter)]
        case ast.withitem(optional_vars=ast.expr() as target):
            return [(_targets(target), node.context_expr)]
    return []


def _targets(node: ast.AST) -> frozenset[str]:
    """The names that an assignment gives a value, without what they are attributes of."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return frozenset().union(*map(_targets, node.elts))
    return frozenset({last_name(node.value if isinstance(node, ast.Starred) else node)} - {""})


def last_name(node: ast.AST) -> str:
    """The last name of `a.b`, `a.b[0]` and `a.b()`."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
