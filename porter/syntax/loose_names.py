"""Names that lines need from other lines: a refused rewrite may have been where they came from. Nothing is run."""

from __future__ import annotations

import ast
import builtins
import symtable
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

_BUILTIN = frozenset((*dir(builtins), "__file__", "__path__", "__annotations__"))


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one file that its lines ask for and have."""

    loose: frozenset[str]  # asked for as variables, and bound nowhere
    asked: frozenset[str]  # attributes of self that are read
    given: frozenset[str]  # attributes of self that are written, methods, and strings, which may register a name


def problem(before: Sequence[str], after: str) -> str:
    """Why `after` cannot work though the texts `before` do, or "" where nothing is known against it."""
    known = [names for text in before if (names := names_of(text)) is not None]
    if len(known) < len(before):
        return ""  # this Python is too old for upstream's syntax
    names = names_of(after)
    if names is None:
        return "the file is not Python any more"
    loose = names.loose.difference(*(k.loose for k in known))
    if loose:
        return f"other lines of the file use {_listed(loose)}, which nothing in it defines any more"
    given = frozenset().union(*(k.given for k in known))
    lost = (names.asked - names.given) & given - frozenset().union(*(k.asked - k.given for k in known))
    if lost:
        return f"other lines of the file read {_listed(lost, 'self.')}, which nothing in it sets any more"
    return ""


def names_of(text: str) -> Names | None:
    """The names in a file, or None where it is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            top = symtable.symtable(text, "file", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    asked: set[str] = set()
    given: set[str] = set()
    starred = False
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=context):
                (asked if isinstance(context, ast.Load) else given).add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                given.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Constant(value=str() as name):
                given.add(name)
            case ast.ImportFrom(names=[ast.alias(name="*"), *_]):
                starred = True
    loose = frozenset() if starred else frozenset(_loose(top))
    return Names(loose, frozenset(asked), frozenset(given))


def _loose(top: symtable.SymbolTable) -> set[str]:
    own, inner = top.get_symbols(), [s for table in list(_tables(top))[1:] for s in table.get_symbols()]
    bound = _named(own, lambda s: s.is_assigned() or s.is_imported() or s.is_namespace())
    declared = _named(inner, lambda s: s.is_declared_global() and s.is_assigned())
    asked = _named(own, symtable.Symbol.is_referenced)
    asked |= _named(inner, lambda s: s.is_global() and s.is_referenced())
    return asked - bound - declared - _BUILTIN


def _named(symbols: Iterable[symtable.Symbol], wanted: Callable[[symtable.Symbol], bool]) -> set[str]:
    return {symbol.get_name() for symbol in symbols if wanted(symbol)}


def _tables(top: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    pending = [top]
    while pending:
        table = pending.pop()
        yield table
        pending += reversed(table.get_children())


def _listed(names: Iterable[str], before: str = "") -> str:
    return ", ".join(f"{before}{name}" for name in sorted(names))
