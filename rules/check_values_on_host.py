"""A check of values is worth having where values are at hand."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.contexts import asks_host
from porter.rule import Example, Rule, Safety
from porter.syntax.walk import descendants
from porter.truths import tensors_in, value_check


class CheckValuesOnHost(Rule):
    """Check tensor values on the host only.

    `if torch.min(x) < -1: print(...)` and `assert (x >= 0).all()` read a value back: the graph is cut, compiled and
    run to that point, and the host waits, in every step, to learn that all is well. Nothing that follows depends on
    the answer. For host tensors (data loading, tests on the CPU) the check stays as it is; for device tensors it is
    skipped.
    """

    code = "SYN002"
    title = "check values on the host only"
    safety = Safety.EXACT
    message = "the check reads a value back from the device in every step; it now runs for host tensors only"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef louder(y):\n    if torch.max(y) > 1.0:\n        print('peak', torch.max(y))\n"
                "    return y * 2\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef louder(y):\n    if utils.on_host(y) and torch.max(y) > 1.0:\n"
                "        print('peak', torch.max(y))\n    return y * 2\n"
            ),
            call="louder(y)",
            inputs="y = torch.linspace(-1, 2, 5)",
            grad=("y",),
        ),
        Example(
            before=(
                "import torch\n\n\ndef root(d, low, high):\n    if torch.min(d) < low or torch.max(d) > high:\n"
                "        raise ValueError('outside')\n    assert (d >= 0).all()\n    return torch.sqrt(d)\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef root(d, low, high):\n"
                "    if utils.on_host(d) and (torch.min(d) < low or torch.max(d) > high):\n"
                "        raise ValueError('outside')\n    assert not utils.on_host(d) or (d >= 0).all()\n"
                "    return torch.sqrt(d)\n"
            ),
            call="root(d, 0.0, 9.0)",
            inputs="d = torch.linspace(1, 4, 5)",
            grad=("d",),
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef scale(x, n):\n    if n < 0:\n        raise ValueError('negative')\n    return torch.relu(x) * n\n",
        "import torch\n\n\ndef scale(x):\n    if torch.min(x) < 0:\n        x = x - torch.min(x)\n    return x\n",
        # the condition does more than ask
        "import torch\n\n\ndef scale(x):\n    if (m := torch.max(x)) > 5:\n        raise ValueError\n    return x * m\n",
        "import torch\n\n\ndef scale(x):\n    if x.add_(1).max() > 5:\n        raise ValueError\n    return torch.relu(x)\n",
        "import torch\n\n\ndef scale(x):\n    assert x.dim() == 3\n    return torch.relu(x)\n",
    )

    def visit_If(self, node: cst.If) -> None:
        self._check(node)

    def visit_Assert(self, node: cst.Assert) -> None:
        self._check(node)

    def _check(self, node: cst.If | cst.Assert) -> None:
        check = value_check(self.file, node)
        if check is None or asks_host(check.test) or self.file.host_reason(node) is not None:
            return
        tensors = tensors_in(self.file, check.test)
        if not tensors or _changes(check.test):
            return
        test = check.test
        on_host = self.fill("__f()", f="utils.on_host")
        assert isinstance(on_host, cst.Call)
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        args = [cst.Arg(t, comma=comma if t is not tensors[-1] else cst.MaybeSentinel.DEFAULT) for t in tensors]
        on_host = on_host.with_changes(args=args)
        if isinstance(check, cst.If):
            right = test if not _is_or(test) else _bracketed(test)
            self.replace(test, self.fill("__a and __b", a=on_host, b=right) if _is_or(test) else _and(on_host, test))
        else:
            right = _bracketed(test) if isinstance(test, cst.BooleanOperation) else test
            negated = cst.UnaryOperation(operator=cst.Not(), expression=on_host)
            self.replace(test, cst.BooleanOperation(left=negated, operator=cst.Or(), right=right))


def _changes(test: cst.BaseExpression) -> bool:
    """Whether evaluating a condition binds a name or changes a tensor."""
    return any(
        isinstance(n, cst.NamedExpr)
        or (isinstance(n, cst.Attribute) and n.attr.value.endswith("_") and not n.attr.value.endswith("__"))
        for n in descendants(test)
    )


def _is_or(test: cst.BaseExpression) -> bool:
    return isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.Or) and not test.lpar


def _bracketed(test: cst.BaseExpression) -> cst.BaseExpression:
    if test.lpar:
        return test
    return test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _and(left: cst.BaseExpression, right: cst.BaseExpression) -> cst.BooleanOperation:
    return cst.BooleanOperation(left=left, operator=cst.And(), right=right)
