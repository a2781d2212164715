"""Listings of checkpoints: where a trainer looks for files that a killed one may have left half in place."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ..syntax.calls import has_star, method_call, positional
from ..syntax.predicates import last_part
from ..syntax.template import names_in
from ..syntax.walk import descendants, own_of_type, same
from .project import SourceFile

_ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors")
_BY_PATTERN = ("glob.glob", "glob.iglob")
_BY_FOLDER = ("os.listdir", "os.scandir")
_WITHOUT_EFFECT = ("os.path.join", "os.path.abspath", "os.path.dirname", "str", "len")
_PARTS = (
    cst.Name, cst.Attribute, cst.SimpleString, cst.FormattedString, cst.BinaryOperation, cst.Tuple, cst.Subscript,
    cst.Integer, cst.ConcatenatedString,
)  # fmt: skip


def lists_checkpoints(file: SourceFile, call: cst.Call) -> bool:
    """Whether a call in a trainer, or beside one, lists files in a function that names checkpoints."""
    if not file.in_trainers or _target(file, call) not in (*_BY_PATTERN, *_BY_FOLDER):
        return False
    function = file.function(call)
    return function is not None and _names_checkpoints(function)


def lists_files(file: SourceFile) -> bool:
    """Whether anything in a file is called as what lists files."""
    return any(file.index.named(last_part(name)) for name in (*_BY_PATTERN, *_BY_FOLDER))


def listed(file: SourceFile, call: cst.Call) -> cst.BaseExpression | None:
    """The folder that a call lists, or the pattern, as an expression that can be asked before its statement runs.

    None where it cannot: it calls something, or names what the statement itself binds.
    """
    values = positional(call)
    if not values or has_star(call):
        return None
    place = values[0]
    if _target(file, call) in _BY_PATTERN and isinstance(place, cst.Call):
        parts = positional(place) if file.resolve(place.func) == "os.path.join" else []
        if len(parts) == 2 and isinstance(parts[0], (cst.Name, cst.Attribute)):
            place = parts[0]  # the folder itself reads better than its pattern
    return place if _is_plain(file, place) and not names_in(place) & _bound_around(file, call) else None


def head_calls(file: SourceFile, statement: cst.BaseStatement) -> Iterator[cst.Call]:
    """Calls that a statement makes before any block of it runs; of a chain of `elif`s, those of all conditions."""
    if isinstance(statement, cst.If):
        yield from own_of_type(statement.test, cst.Call)
        if isinstance(statement.orelse, cst.If):
            yield from head_calls(file, statement.orelse)
    elif isinstance(statement, cst.For):
        yield from own_of_type(statement.iter, cst.Call)
    elif isinstance(statement, cst.With):
        yield from (call for item in statement.items for call in own_of_type(item.item, cst.Call))
    elif isinstance(statement, cst.SimpleStatementLine):
        yield from own_of_type(statement, cst.Call)


def _settled(statement: cst.CSTNode) -> cst.BaseExpression | None:
    """What a statement settles, if it is a call of the runtime's `settle`."""
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    call = small.value if isinstance(small, cst.Expr) else None
    found = method_call(call, "settle") if call is not None else None
    return found[1].args[0].value if found is not None and len(found[1].args) == 1 else None


def is_settled(file: SourceFile, call: cst.Call) -> bool:
    """Whether the function around a listing settles the place before."""
    function, place = file.function(call), listed(file, call)
    lines = own_of_type(function.body, cst.SimpleStatementLine) if function is not None else ()
    known = (_settled(line) for line in lines)
    return place is not None and any(one is not None and same(one, place) for one in known)


def _target(file: SourceFile, call: cst.Call) -> str | None:
    return file.resolve(call.func)


def _names_checkpoints(function: cst.FunctionDef) -> bool:
    for node in descendants(function):
        text = node.value if isinstance(node, cst.FormattedStringText) else ""
        if isinstance(node, cst.SimpleString):
            text = str(node.evaluated_value)
        if text.endswith(_ENDINGS):
            return True
    return False


def _is_plain(file: SourceFile, place: cst.BaseExpression) -> bool:
    """Whether an expression is made of names and texts alone."""
    for node in descendants(place):
        if isinstance(node, cst.Call):
            formats = method_call(node, "format") is not None and isinstance(node.func, cst.Attribute)
            if not formats and file.resolve(node.func) not in _WITHOUT_EFFECT:
                return False
        elif isinstance(node, cst.BaseExpression) and not isinstance(node, _PARTS):
            return False
    return True


def _bound_around(file: SourceFile, call: cst.Call) -> set[str]:
    """Names that the statement of a call binds for it: of comprehensions, lambdas, assignments in expressions."""
    statement = file.statement(call)
    bound: set[str] = set()
    for node in (*file.ancestors(call), *descendants(statement)):
        match node:
            case cst.NamedExpr(target=target):
                bound |= names_in(target)
            case cst.CompFor(target=target):
                bound |= names_in(target)
            case cst.Lambda():
                bound |= {param.name.value for param in node.params.params}
    return bound
