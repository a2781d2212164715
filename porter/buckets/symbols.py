"""The phones that upstream's models know, from its tables of symbols; nothing of upstream is executed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PortError
from ..inputs.sources import find_layout, join
from ..syntax.text import decode

if TYPE_CHECKING:
    from ..inputs.upstream import Snapshot

_FIRST, _LATER = "text/symbols.py", "text/symbols2.py"  # of version 1, and of all others
_CALLS: Mapping[str, Callable[[Any], Any]] = {
    "list": list, "set": set, "tuple": tuple, "sorted": sorted, "frozenset": frozenset, "dict": dict,
}  # fmt: skip


_COLLECTIONS: Mapping[type[ast.expr], Callable[[Any], Any]] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}


class _OtherCodeError(Exception):
    """Code that is more than lists of texts put together."""


def read_symbols(snapshot: Snapshot, version: str | None) -> frozenset[str]:
    """The phones that a model of this version knows. PortError where the tables cannot be found or read."""
    folder = find_layout(snapshot).prefix
    listed = snapshot.files(join(folder, "text"))
    there = [place for place in (join(folder, _FIRST), join(folder, _LATER)) if place in listed]
    if not there:
        raise PortError(f"{snapshot.spec} holds no {_FIRST}")
    path = there[0] if version == "v1" else there[-1]
    text, _ = decode(path, snapshot.read(path))
    try:
        symbols = _values(ast.parse(text)).get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise _OtherCodeError("symbols is no list of texts")
    except (SyntaxError, ValueError, _OtherCodeError, TypeError, AttributeError) as error:
        raise PortError(f"the table of symbols in {path} cannot be read: {error}") from None
    return frozenset(symbols)


def unknown_in(symbols: frozenset[str]) -> Callable[[Sequence[str]], str | None]:
    """What tells the first of some phones that is not among `symbols`."""
    return lambda phones: next((phone for phone in phones if phone not in symbols), None)


def _values(tree: ast.Module) -> dict[str, Any]:
    """What the names at the top of a file come to."""
    names: dict[str, Any] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names[name] = _value(value, names)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value) if name in names:
                names[name] = names[name] + _value(value, names)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=how), args=[given])) if (
                how in ("append", "extend") and isinstance(names.get(name), list)
            ):
                getattr(names[name], how)(_value(given, names))
            case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.Pass():
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case _:
                raise _OtherCodeError(f"line {statement.lineno} is more than a list")
    return names


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    value_of = partial(_value, names=names)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in names:
            return copy(names[name])
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return _COLLECTIONS[type(node)](map(value_of, parts))
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return dict(zip(map(value_of, filter(None, keys)), map(value_of, values), strict=True))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return value_of(left) + value_of(right)
        case ast.Call(func=ast.Name(id=name), args=[given], keywords=[]) if name in _CALLS and name not in names:
            return _CALLS[name](value_of(given))
        case ast.ListComp(elt=element, generators=[ast.comprehension(target=ast.Name(id=name), iter=over, ifs=[])]):
            return [_value(element, {**names, name: item}) for item in value_of(over)]
        case _:
            raise _OtherCodeError(f"line {node.lineno} is more than a list")
