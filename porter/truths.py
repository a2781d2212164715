"""Where Python asks a tensor for a truth value, and what it does with the answer."""

from __future__ import annotations

import libcst as cst

from .project import SourceFile
from .syntax.values import is_tensor
from .syntax.walk import code, dotted, own_descendants

_REPORTS = ("print", "warn", "warning", "info", "debug", "error", "exception", "critical", "log")


def is_tensor_truth(file: SourceFile, test: cst.BaseExpression) -> bool:
    """Whether evaluating `test` as a condition reads a tensor's value."""
    if isinstance(test, cst.BooleanOperation):
        return is_tensor_truth(file, test.left) or is_tensor_truth(file, test.right)
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return is_tensor_truth(file, test.expression)
    return is_tensor(file.kind(test))


def only_reports(body: cst.BaseSuite) -> bool:
    """Whether a block does nothing but print, warn, log, assert or raise."""
    return all(_reports(statement) for statement in body.body)


def _reports(statement: cst.CSTNode) -> bool:
    if isinstance(statement, cst.SimpleStatementLine):
        return all(_reports(small) for small in statement.body)
    if isinstance(statement, (cst.Raise, cst.Pass, cst.Assert)):
        return True
    if isinstance(statement, cst.Expr) and isinstance(statement.value, cst.Call):
        return (dotted(statement.value.func) or "").rsplit(".", 1)[-1] in _REPORTS
    return False


def value_check(file: SourceFile, node: cst.CSTNode) -> cst.If | cst.Assert | None:
    """`node`, if it is a condition on tensor values that only reports what it finds."""
    if isinstance(node, cst.Assert) and is_tensor_truth(file, node.test):
        return node
    if isinstance(node, cst.If) and node.orelse is None and only_reports(node.body):
        return node if is_tensor_truth(file, node.test) else None
    return None


def tensors_in(file: SourceFile, node: cst.CSTNode) -> list[cst.BaseExpression]:
    """The tensors an expression reads, by name, once each, in order."""
    found: dict[str, cst.BaseExpression] = {}
    for part in own_descendants(node):
        if isinstance(part, (cst.Name, cst.Attribute)) and dotted(part) is not None and is_tensor(file.kind(part)):
            inner = isinstance(file.parent(part), cst.Attribute)
            if isinstance(part, cst.Attribute) and not (dotted(part) or "").startswith("self."):
                continue
            if not (inner and isinstance(part, cst.Attribute)):
                found.setdefault(code(part), part)
    return list(found.values())
