"""Conditions that decide where code runs: on the host, in a script, with a process group."""

from __future__ import annotations

import libcst as cst

from ..syntax.predicates import called, last_part, leaves, negated, only_comparison
from ..syntax.walk import dotted
from .project import SourceFile

_DISTRIBUTED = ("is_distributed", "is_initialized")
DISTRIBUTED_ONLY = "runs only where torch.distributed has a process group"


def in_script(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code runs only where its file is the script."""
    return any(
        isinstance(around, cst.If) and child is around.body and _asks_for_script(around.test)
        for around, child in file.steps_out(node)
    )


def _asks_for_script(test: cst.BaseExpression) -> bool:
    """`__name__ == "__main__"`, and whatever else has to hold."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return _asks_for_script(test.left) or _asks_for_script(test.right)
    match only_comparison(test):
        case left, cst.Equal(), right:
            return "__name__" in (dotted(left), dotted(right))
    return False


def exit_reason(file: SourceFile, statement: cst.If) -> str | None:
    """Why what follows a conditional exit runs on the host only, if it does."""
    if not leaves(statement.body, cst.Return, cst.Raise):
        return None
    if _asks_not_distributed(file, statement.test):
        return distributed_reason(file, statement)
    if called(statement.test) == "self.host_flag":
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
    return isinstance(test, cst.Call) and last_part(file.resolve(test.func)) in _DISTRIBUTED


def _asks_not_distributed(file: SourceFile, test: cst.CSTNode) -> bool:
    if isinstance(test, cst.BooleanOperation):
        one = isinstance(test.operator, cst.Or)
        return one and (_asks_not_distributed(file, test.left) or _asks_not_distributed(file, test.right))
    inner = negated(test)
    return inner is not None and asks_distributed(file, inner)


def asks_host(test: cst.CSTNode) -> bool:
    """Whether a condition already asks the runtime if its tensors are on the host."""
    match test:
        case cst.BooleanOperation(operator=cst.And()):
            return asks_host(test.left) or asks_host(test.right)
        case cst.BooleanOperation():  # not on_host(x) or ...
            inner = negated(test.left)
            return inner is not None and asks_host(inner)
    return (called(test) or "").endswith("utils.on_host")
