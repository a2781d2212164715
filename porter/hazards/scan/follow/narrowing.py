"""What a condition tells of a value where it holds: `isinstance(x, Tensor)`, `x is None`."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax import torch_names as tn
from ....syntax.predicates import last_part
from ....syntax.values import Env
from ....syntax.walk import dotted

GUARD = "isinstance "  # before a name in an environment: what it was before such a question was asked


def questions(file: SourceFile, test: cst.BaseExpression, truth: bool) -> list[tuple[str, bool]]:
    """Names of which a condition tells (where it is `truth`) that they are a tensor, or that they are none."""
    match test:
        case cst.UnaryOperation(operator=cst.Not()):
            return questions(file, test.expression, not truth)
        case cst.BooleanOperation():
            if isinstance(test.operator, cst.And) is not truth:
                return []
            return [*questions(file, test.left, truth), *questions(file, test.right, truth)]
        case cst.Comparison(left=cst.Name(value=name), comparisons=[cst.ComparisonTarget(operator=cst.Is()) as other]):
            return [(name, False)] if dotted(other.comparator) == "None" and truth else []
        case cst.Call(args=[cst.Arg(value=cst.Name(value=name)), *others]):
            return _asked_of(file, name, test.func, others, truth)
    return []


def _asked_of(
    file: SourceFile, name: str, function: cst.BaseExpression, others: Sequence[cst.Arg], truth: bool
) -> list[tuple[str, bool]]:
    """What `torch.is_tensor(name)` and `isinstance(name, …)` tell."""
    if file.resolve(function) == "torch.is_tensor":
        return [(name, truth)]
    if dotted(function) != "isinstance" or not others:
        return []
    classes = others[0].value
    named = [e.value for e in classes.elements] if isinstance(classes, cst.Tuple) else [classes]
    tensors = {last_part(dotted(c)) in tn.TENSOR_TYPES for c in named}
    if tensors <= {True}:
        return [(name, truth)]
    return [(name, False)] if truth and tensors == {False} else []


def widen(branch: Env, before: Env) -> None:
    """Forget in a branch what its condition alone told."""
    for key in [k for k in branch if k.startswith(GUARD) and k not in before]:
        branch[key.removeprefix(GUARD)] = branch.pop(key)


def leaves(block: cst.CSTNode | None) -> bool:
    """Whether nothing behind a block is reached from it."""
    if isinstance(block, cst.Else):
        block = block.body
    body = getattr(block, "body", None)
    last = body[-1] if isinstance(body, Sequence) and body else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise, cst.Continue, cst.Break))
