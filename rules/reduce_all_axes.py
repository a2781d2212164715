"""Reductions of which PyTorch/XLA does something else than PyTorch."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.values import is_tensor

_COMMA = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
_NAMES = ("amax", "amin")


class ReduceAllAxes(Rule):
    """Reduce all axes where `amax` and `amin` are given none.

    No axis means all of them to PyTorch, and none to PyTorch/XLA: `x.amax()` is `x` itself there, without an error. The
    runtime's names the axes.
    """

    code = "LOW012"
    title = "reduce all axes on the device"
    safety = Safety.EXACT
    message = "on XLA, amax and amin without an axis reduce nothing; the runtime's name all axes"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def level(x):
                    return x / torch.amax(x.abs(), keepdim=True)
                """,
            after="""
                import torch
                from . import ops


                def level(x):
                    return x / ops.amax(x.abs(), keepdim=True)
                """,
            call="level(x)",
            inputs="x = torch.linspace(-1, 2, 6).reshape(2, 3)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def spread(x: torch.Tensor):
                    return x.amax() - x.amin(())
                """,
            after="""
                import torch
                from . import ops


                def spread(x: torch.Tensor):
                    return ops.amax(x) - ops.amin(x, ())
                """,
            call="spread(x)",
            inputs="x = torch.linspace(-1, 2, 6).reshape(2, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def level(x):
            return torch.amax(x, 1) + torch.amin(x, dim=(0, 1))
        """,
        """
        import torch


        def level(x: torch.Tensor):
            return x.amax(-1)
        """,
        """
        def level(meter):
            return meter.amax()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.host_reason(node) is not None or not self._names_no_axis(node):
            return
        target = self.file.resolve(node.func)
        for name in _NAMES:
            if target == f"torch.{name}":
                self.replace(node.func, self.runtime(f"ops.{name}"))
            method = method_call(node, name) if target is None else None
            if method is not None and is_tensor(self.file.kind(method[0])):
                first = cst.Arg(method[0], comma=_COMMA if node.args else cst.MaybeSentinel.DEFAULT)
                self.replace(node, node.with_changes(func=self.runtime(f"ops.{name}"), args=[first, *node.args]))

    def _names_no_axis(self, node: cst.Call) -> bool:
        """Whether `dim` is left out, or may be empty."""
        given = bind(self.file, node)
        if given is None or "out" in given:
            return False
        dim = given.get("dim")
        if isinstance(dim, (cst.Tuple, cst.List)):
            return not dim.elements
        return not isinstance(dim, (cst.Integer, cst.UnaryOperation))
