"""Phases are sums of thousands of fractions of a turn: what they are rounded to decides what is heard."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind
from porter.analysis.project import SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_names

_TURNS = frozenset(f"torch.{name}" for name in "sin cos tan remainder fmod frac".split())
_METHODS = frozenset("sin cos tan remainder fmod frac".split())
_COMMA = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


class SumPhasesExactly(Rule):
    """Add up phases as exactly as the host does.

    A harmonic source sums the turns of each sample, takes the sine of the sums, and looks where they pass a whole turn.
    The host adds float32 in double precision; XLA adds them in float32 and in an order of its own, so that after some
    thousand samples the sine is another, and so is the place where a turn ends. `ops.cumsum` adds whole numbers, which
    no order changes. Sums that become no angle stay.
    """

    code = "DEV019"
    title = "sum phases exactly"
    safety = Safety.EXACT
    message = "XLA adds phases in float32, and after thousands of turns their sine is another than the host's"
    calls: ClassVar = ("cumsum",)
    examples: ClassVar = (
        Example(
            before="""
                import math
                import torch


                def source(turns):
                    return torch.sin(torch.cumsum(turns, dim=1) * 2 * math.pi)
                """,
            after="""
                import math
                import torch
                from . import ops


                def source(turns):
                    return torch.sin(ops.cumsum(turns, dim=1) * 2 * math.pi)
                """,
            call="source(x)",
            inputs="x = torch.linspace(0, 0.01, 64).reshape(2, 32)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def ends(turns: torch.Tensor):
                    phase = turns.cumsum(1)
                    phase %= 1
                    return phase[:, 1:] < phase[:, :-1]
                """,
            after="""
                import torch
                from . import ops


                def ends(turns: torch.Tensor):
                    phase = ops.cumsum(turns, 1)
                    phase %= 1
                    return phase[:, 1:] < phase[:, :-1]
                """,
            call="ends(x)",
            inputs="x = torch.linspace(0, 0.3, 64).reshape(2, 32)",
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def knots(widths):
            return torch.cumsum(widths, dim=-1) * 2 - 1
        """,
        """
        import torch


        def source(turns):
            return torch.sin(torch.cumsum(turns, 1, dtype=torch.float64))
        """,
        """
        import torch


        def source(bank, turns):
            return torch.sin(bank.cumsum(turns))
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not self._is_angle(node) or self.host_reason(node) is not None:
            return
        given = bind(self.file, node)
        if given is None or given.keys() - {"input", "self", "dim"}:
            return
        if self.file.resolve(node.func) == "torch.cumsum":
            self.replace(node.func, self.runtime("ops.cumsum"))
            return
        method = method_call(node, "cumsum")
        if method is not None and is_tensor(self.file.kind(method[0])):
            first = cst.Arg(method[0], comma=_COMMA)
            self.replace(node, node.with_changes(func=self.runtime("ops.cumsum"), args=[first, *node.args]))

    def _is_angle(self, node: cst.Call) -> bool:
        """Whether a sum, or the local name that it gets, is asked for its sine or for what is left of a turn."""
        if method_call(node, "cumsum") is None and self.file.resolve(node.func) != "torch.cumsum":
            return False
        if _turned(self.file, node):
            return True
        made = self.file.parent(node)
        function = self.file.function(node)
        if not isinstance(made, cst.Assign) or len(made.targets) != 1 or function is None:
            return False
        target = made.targets[0].target
        if not isinstance(target, cst.Name):
            return False
        return any(_turned(self.file, name) for name in own_names(function.body).get(target.value, ()))


def _turned(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether the expression around a value takes the sine of it, or what is left of whole turns."""
    for around, child in file.steps_out(node):
        match around:
            case cst.AugAssign():
                return isinstance(around.operator, cst.ModuloAssign) and around.target is node
            case cst.BinaryOperation(operator=cst.Modulo(), left=left) if left is child:
                return True
            case cst.Call() if around.func is not child:
                return file.resolve(around.func) in _TURNS
            case cst.Attribute() if around.attr.value in _METHODS:
                return True
            case cst.Subscript() if around.value is not child:
                return False
            case cst.BaseStatement():
                return False
    return False
