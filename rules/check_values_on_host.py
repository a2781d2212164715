"""A check of values is worth having where values are at hand."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.catching import Catching
from porter.analysis.guards import asks_host
from porter.analysis.project import SourceFile
from porter.analysis.truths import parts, reads_value, tensors_in, value_check
from porter.rule import Example, Rule, Safety
from porter.syntax.torch_names import RANDOM_FACTORIES
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_of_type

# Builtins that change nothing.
_PURE = frozenset("abs all any bool float getattr hasattr int isinstance len max min range round sum tuple".split())
_DRAWS = ("bernoulli", "multinomial", "poisson", "normal", "rand", "randn", "randint", "randperm")


class CheckValuesOnHost(Rule):
    """Check tensor values on the host only.

    `if torch.min(x) < -1: print(...)` and `assert (x >= 0).all()` read a value back: the graph is cut, compiled and
    run to that point, and the host waits, in every step, to learn that all is well. Nothing that follows depends on
    the answer. For host tensors (data loading, tests on the CPU) the check stays as it is; for device tensors the parts
    of the condition that read values are skipped. Parts that cost nothing, such as `x.dim() == 3`, are asked as before.

    A check whose exception somebody takes is no check but a branch, and stays: inside a `try` or `suppress` that may
    take it, in a function that such a `try` of the project may call, or where Python itself takes it (`StopIteration`).
    Callers outside the project are not known: one that takes the exception sees no exception of a device tensor.
    """

    code = "SYN002"
    title = "check values on the host only"
    safety = Safety.EXACT
    message = "the check reads a value back from the device in every step; it now runs for host tensors only"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def louder(y):
                    if torch.max(y) > 1.0:
                        print('peak', torch.max(y))
                    return y * 2
                """,
            after="""
                import torch
                from . import utils


                def louder(y):
                    if utils.on_host(y) and torch.max(y) > 1.0:
                        print('peak', torch.max(y))
                    return y * 2
                """,
            call="louder(y)",
            inputs="y = torch.linspace(-1, 2, 5)",
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def root(d, low, high):
                    if torch.min(d) < low or torch.max(d) > high:
                        raise ValueError('outside')
                    assert (d >= 0).all()
                    return torch.sqrt(d)
                """,
            after="""
                import torch
                from . import utils


                def root(d, low, high):
                    if utils.on_host(d) and (torch.min(d) < low or torch.max(d) > high):
                        raise ValueError('outside')
                    assert not utils.on_host(d) or (d >= 0).all()
                    return torch.sqrt(d)
                """,
            call="root(d, 0.0, 9.0)",
            inputs="d = torch.linspace(1, 4, 5)",
            grad=("d",),
        ),
        Example(  # a shape costs nothing to ask
            before="""
                import torch


                def flat(x, strict):
                    if (strict and x.max() > 9) or x.dim() == 3:
                        raise ValueError('axes')
                    assert x.dim() < 3 and not (x.dim() == 0 or torch.isnan(x).any())
                    return x * 2
                """,
            after="""
                import torch
                from . import utils


                def flat(x, strict):
                    if (strict and utils.on_host(x) and x.max() > 9) or x.dim() == 3:
                        raise ValueError('axes')
                    assert x.dim() < 3 and not (x.dim() == 0 or (utils.on_host(x) and torch.isnan(x).any()))
                    return x * 2
                """,
            call="flat(x, True)",
            inputs="x = torch.linspace(1, 4, 5)",
            grad=("x",),
        ),
        Example(  # nobody takes a ValueError here
            before="""
                import torch


                def louder(y):
                    try:
                        if torch.max(y).item() > 9:
                            raise ValueError('peak')
                    except (KeyError, OSError):
                        return y
                    return y * 2
                """,
            after="""
                import torch
                from . import utils


                def louder(y):
                    try:
                        if utils.on_host(y) and torch.max(y).item() > 9:
                            raise ValueError('peak')
                    except (KeyError, OSError):
                        return y
                    return y * 2
                """,
            call="louder(y)",
            inputs="y = torch.linspace(-1, 2, 5)",
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def normed(x):
                    y = torch.relu(x) - 1
                    if torch.isnan(y).any():
                        exit(0)
                    return y
                """,
            after="""
                import torch
                from . import utils


                def normed(x):
                    y = torch.relu(x) - 1
                    if utils.on_host(y) and torch.isnan(y).any():
                        exit(0)
                    return y
                """,
            call="normed(x)",
            inputs="x = torch.linspace(-1, 2, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def scale(x, n):
            if n < 0:
                raise ValueError('negative')
            return torch.relu(x) * n
        """,
        """
        import torch


        def scale(x):
            if torch.min(x) < 0:
                x = x - torch.min(x)
            return x
        """,
        # the condition does more than ask
        """
        import torch


        def scale(x):
            if (m := torch.max(x)) > 5:
                raise ValueError
            return x * m
        """,
        """
        import torch


        def scale(x):
            if x.add_(1).max() > 5:
                raise ValueError
            return torch.relu(x)
        """,
        """
        import torch


        def scale(x):
            assert x.dim() == 3
            return torch.relu(x)
        """,
        """
        import torch


        def scale(x, calls):
            if x.max() > calls.pop():
                raise ValueError
            return torch.relu(x)
        """,
        """
        import torch


        def scale(x):
            if x.max() > torch.rand(1):
                raise ValueError
            return torch.relu(x)
        """,
        # somebody takes what it raises: here,
        """
        import torch


        def scale(x):
            try:
                assert torch.isfinite(x).all()
            except AssertionError:
                return x
            return torch.relu(x)
        """,
        """
        import contextlib
        import torch


        def scale(x):
            with contextlib.suppress(ArithmeticError):
                if torch.isnan(x).any():
                    raise ZeroDivisionError
            return torch.relu(x)
        """,
        """
        import torch


        def scale(x):
            try:
                assert torch.isfinite(x).all()
            finally:
                return torch.relu(x)
        """,
        # in a caller,
        """
        import torch


        class Bad(RuntimeError):
            pass


        def checked(x):
            if torch.isnan(x).any():
                raise Bad
            return x


        def scale(rows):
            for row in rows:
                try:
                    yield checked(row)
                except Exception:
                    pass
        """,
        """
        import torch


        class Net(torch.nn.Module):
            def forward(self, x):
                assert torch.isfinite(x).all()
                return x


        def run(net, x):
            try:
                return net(x)
            except AssertionError:
                return None
        """,
        # or a loop
        """
        import torch


        class Rows:
            def __next__(self):
                x = torch.relu(self.x)
                if x.max() > 1:
                    raise StopIteration
                return x
        """,
    )

    def visit_If(self, node: cst.If) -> None:
        self._check(node)

    def visit_Assert(self, node: cst.Assert) -> None:
        self._check(node)

    def _check(self, node: cst.If | cst.Assert) -> None:
        check = value_check(self.file, node)
        if check is None or asks_host(check.test) or self.host_reason(node) is not None:
            return
        known = all(tensors_in(self.file, p) and _is_pure(self.file, p) for p in self._reading(check.test))
        if known and not self.file.project.fact(Catching).takes(self.file, check):
            self.replace(check.test, self._guarded(check.test, isinstance(check, cst.Assert)))

    def _reading(self, test: cst.BaseExpression) -> list[cst.BaseExpression]:
        return [p for p in parts(test) if reads_value(self.file, p)]

    def _guarded(self, test: cst.BaseExpression, passing: bool) -> cst.BaseExpression:
        """A condition whose parts that read values are `passing` for device tensors."""
        reading = self._reading(test)
        if not reading:
            return test
        if len(reading) == len(list(parts(test))):
            return self._guard(test, passing)
        if isinstance(test, cst.UnaryOperation):
            return test.with_changes(expression=self._guarded(test.expression, not passing))
        assert isinstance(test, cst.BooleanOperation)
        left, right = self._guarded(test.left, passing), self._guarded(test.right, passing)
        if isinstance(test.operator, cst.Or if passing else cst.And):  # the same operator all along
            return test.with_changes(left=left, right=right)
        return test.with_changes(
            left=left if left is test.left else _joined(left), right=right if right is test.right else _joined(right)
        )

    def _guard(self, test: cst.BaseExpression, passing: bool) -> cst.BaseExpression:
        """`utils.on_host(x) and test`, or `not utils.on_host(x) or test`."""
        tensors = tensors_in(self.file, test)
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        args = [cst.Arg(t, comma=comma if t is not tensors[-1] else cst.MaybeSentinel.DEFAULT) for t in tensors]
        on_host: cst.BaseExpression = cst.Call(self.runtime("utils.on_host"), args)
        if passing:
            on_host = cst.UnaryOperation(operator=cst.Not(), expression=on_host)
            return cst.BooleanOperation(left=on_host, operator=cst.Or(), right=_joined(test))
        return _and(on_host, _bracketed(test) if _is_or(test) else test)


def _joined(test: cst.BaseExpression) -> cst.BaseExpression:
    return _bracketed(test) if isinstance(test, cst.BooleanOperation) else test


def _is_pure(file: SourceFile, part: cst.BaseExpression) -> bool:
    """Whether evaluating a condition leaves no trace: no name bound, no tensor changed, no number drawn."""
    return not any(own_of_type(part, cst.NamedExpr, cst.Await, cst.Yield)) and all(
        _is_pure_call(file, call) for call in own_of_type(part, cst.Call)
    )


def _is_pure_call(file: SourceFile, call: cst.Call) -> bool:
    target = file.resolve(call.func)
    if target is not None:
        return (
            target.startswith(("torch.", "math.", "numpy.")) and target not in RANDOM_FACTORIES and not _draws(target)
        )
    if isinstance(call.func, cst.Name):
        return call.func.value in _PURE
    if not isinstance(call.func, cst.Attribute):
        return False
    name = call.func.attr.value
    return is_tensor(file.kind(call.func.value)) and not name.endswith("_") and not _draws(name)


def _draws(name: str) -> bool:
    return name.rpartition(".")[2] in _DRAWS or name.endswith(("_", "rand_like", "randn_like", "randint_like"))


def _is_or(test: cst.BaseExpression) -> bool:
    return isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.Or) and not test.lpar


def _bracketed(test: cst.BaseExpression) -> cst.BaseExpression:
    if test.lpar:
        return test
    return test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _and(left: cst.BaseExpression, right: cst.BaseExpression) -> cst.BooleanOperation:
    return cst.BooleanOperation(left=left, operator=cst.And(), right=right)
