"""Conditions that decide where code runs: on the host, in a script, with a process group."""

from __future__ import annotations

import libcst as cst

from ..syntax.walk import dotted
from .project import SourceFile

_DISTRIBUTED = ("is_distributed", "is_initialized")
DISTRIBUTED_ONLY = "runs only where torch.distributed has a process group"


def in_script(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code runs only where its file is the script."""
    child = node
    for around in file.ancestors(node):
        if isinstance(around, cst.If) and child is around.body and _asks_for_script(around.test):
            return True
        child = around
    return False


def _asks_for_script(test: cst.BaseExpression) -> bool:
    """`__name__ == "__main__"`, and whatever else has to hold."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return _asks_for_script(test.left) or _asks_for_script(test.right)
    return (
        isinstance(test, cst.Comparison)
        and len(test.comparisons) == 1
        and isinstance(test.comparisons[0].operator, cst.Equal)
        and "__name__" in (dotted(test.left), dotted(test.comparisons[0].comparator))
    )


def exit_reason(file: SourceFile, statement: cst.If) -> str | None:
    """Why what follows a conditional exit runs on the host only, if it does."""
    if not _leaves(statement.body):
        return None
    if _asks_not_distributed(file, statement.test):
        return distributed_reason(file, statement)
    if isinstance(statement.test, cst.Call) and dotted(statement.test.func) == "self.host_flag":
        return f"runs once in a codebook's life (returns at {file.path}:{file.span(statement).line} after that)"
    return None


def distributed_reason(file: SourceFile, guard: cst.If) -> str:
    """The reason of code behind a question for a process group."""
    return (
        f"{DISTRIBUTED_ONLY} "
        f"(guarded at {file.path}:{file.span(guard).line}); on XLA the port is one program and has none"
    )


def asks_distributed(file: SourceFile, test: cst.CSTNode) -> bool:
    """Whether a condition holds only with a process group, asked by a function that is imported or defined here."""
    if isinstance(test, cst.BooleanOperation):
        both = isinstance(test.operator, cst.And)
        return both and (asks_distributed(file, test.left) or asks_distributed(file, test.right))
    return isinstance(test, cst.Call) and (file.resolve(test.func) or "").rpartition(".")[2] in _DISTRIBUTED


def _asks_not_distributed(file: SourceFile, test: cst.CSTNode) -> bool:
    if isinstance(test, cst.BooleanOperation):
        one = isinstance(test.operator, cst.Or)
        return one and (_asks_not_distributed(file, test.left) or _asks_not_distributed(file, test.right))
    return (
        isinstance(test, cst.UnaryOperation)
        and isinstance(test.operator, cst.Not)
        and asks_distributed(file, test.expression)
    )


def asks_host(test: cst.CSTNode) -> bool:
    """Whether a condition already asks the runtime if its tensors are on the host."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return asks_host(test.left) or asks_host(test.right)
    if isinstance(test, cst.BooleanOperation):  # not on_host(x) or ...
        left = test.left
        return (
            isinstance(left, cst.UnaryOperation) and isinstance(left.operator, cst.Not) and asks_host(left.expression)
        )
    return isinstance(test, cst.Call) and (dotted(test.func) or "").endswith("utils.on_host")


def _leaves(block: cst.BaseSuite) -> bool:
    last = block.body[-1] if block.body else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise))
