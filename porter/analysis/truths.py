"""Where Python asks a tensor for a truth value, and what it does with the answer."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.values import is_tensor
from ..syntax.walk import code, dotted, own_descendants, own_of_type, spelled
from .guards import asks_host
from .project import SourceFile

_REPORTS = ("print", "warn", "warning", "info", "debug", "error", "exception", "critical", "log")
_ENDS = ("exit", "quit", "sys.exit")
_READS = ("bool", "float", "int")


def is_tensor_truth(file: SourceFile, test: cst.BaseExpression) -> bool:
    """Whether evaluating `test` as a condition reads the value of a tensor that may be on a device."""
    if isinstance(test, cst.BooleanOperation):
        if is_tensor_truth(file, test.left):
            return True
        return not _is_guard(test) and is_tensor_truth(file, test.right)
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return is_tensor_truth(file, test.expression)
    return is_tensor(file.kind(test))


def _is_guard(test: cst.BooleanOperation) -> bool:
    """`utils.on_host(x) and ...` or `not utils.on_host(x) or ...`: the rest is asked of host tensors."""
    if isinstance(test.operator, cst.And):
        return asks_host(test.left)
    return asks_host(test)


def parts(test: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """The conditions that `and`, `or` and `not` make a condition of, but for those asked of host tensors only."""
    if isinstance(test, cst.BooleanOperation):
        yield from parts(test.left)
        yield from () if _is_guard(test) else parts(test.right)
    elif isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        yield from parts(test.expression)
    else:
        yield test


def reads_value(file: SourceFile, part: cst.BaseExpression) -> bool:
    """Whether a part of a condition reads a tensor's value, of its own or by `.item()`, `float(...)` and the like."""
    if is_tensor(file.kind(part)):
        return True
    for call in own_of_type(part, cst.Call):
        found = method_call(call, "item")
        if found is not None and is_tensor(file.kind(found[0])):
            return True
        if isinstance(call.func, cst.Name) and call.func.value in _READS:
            return any(is_tensor(file.kind(a.value)) for a in call.args)
    return False


def only_reports(body: cst.BaseSuite) -> bool:
    """Whether a block does nothing but print, warn, log, assert, raise or end the process."""
    return all(_reports(statement) for statement in body.body)


def _reports(statement: cst.CSTNode) -> bool:
    if isinstance(statement, cst.SimpleStatementLine):
        return all(_reports(small) for small in statement.body)
    if isinstance(statement, (cst.Raise, cst.Pass, cst.Assert)):
        return True
    if isinstance(statement, cst.Expr) and isinstance(statement.value, cst.Call):
        name = dotted(statement.value.func) or ""
        return name in _ENDS or name.rsplit(".", 1)[-1] in _REPORTS
    return False


def value_check(file: SourceFile, node: cst.CSTNode) -> cst.If | cst.Assert | None:
    """`node`, if it is a condition on tensor values, at least in part, that only reports what it finds."""
    if isinstance(node, cst.Assert):
        found: cst.If | cst.Assert = node
    elif isinstance(node, cst.If) and node.orelse is None and only_reports(node.body):
        found = node
    else:
        return None
    return found if any(reads_value(file, p) for p in parts(found.test)) else None


def tensors_in(file: SourceFile, node: cst.CSTNode) -> list[cst.BaseExpression]:
    """The tensors an expression reads, by name, once each, in order."""
    found: dict[str, cst.BaseExpression] = {}
    for part in own_descendants(node):
        if isinstance(part, (cst.Name, cst.Attribute)) and dotted(part) is not None and is_tensor(file.kind(part)):
            inner = isinstance(file.parent(part), cst.Attribute)
            if isinstance(part, cst.Attribute) and not spelled(part).startswith("self."):
                continue
            if not (inner and isinstance(part, cst.Attribute)):
                found.setdefault(code(part), part)
    return list(found.values())
