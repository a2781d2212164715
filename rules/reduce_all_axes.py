"""Reductions of which PyTorch/XLA does something else than PyTorch."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind
from porter.analysis.cuda import bound_once
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.values import is_tensor

_ALL_BY_DEFAULT = ("amax", "amin")
_NAMES = (*_ALL_BY_DEFAULT, "sum", "mean", "nanmean", "std", "var", "std_mean", "var_mean", "vector_norm")
_FUNCTIONS = {f"{folder}.{name}": name for folder in ("torch", "torch.linalg") for name in _NAMES}
_COLLECTIONS = frozenset({"tuple", "list", "sorted"})


class ReduceAllAxes(Rule):
    """Reduce all axes where a reduction is given none.

    An empty `dim` means all axes to PyTorch, and none to PyTorch/XLA: `x.mean(())` is `x` itself there, without an error,
    and so is `x.amax()`. The runtime's functions name the axes. Axes that are computed where they are given, or in the
    one assignment of a name, may be none; of any other expression that is assumed for `amax` and `amin` only.
    """

    code = "LOW012"
    title = "reduce all axes on the device"
    safety = Safety.EXACT
    message = "with an empty dim PyTorch reduces all axes, and PyTorch/XLA none; the runtime's function names them all"
    calls: ClassVar = _NAMES
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
        Example(
            before="""
                import torch


                def spread(x: torch.Tensor):
                    rest = list(range(1, x.dim()))
                    return x.mean(rest, True) + torch.sum(2 * x, axis=[n for n in rest if n > 1])
                """,
            after="""
                import torch
                from . import ops


                def spread(x: torch.Tensor):
                    rest = list(range(1, x.dim()))
                    return ops.mean(x, rest, True) + ops.sum(2 * x, dim=[n for n in rest if n > 1])
                """,
            call="spread(x)",
            inputs="x = torch.linspace(-1, 2, 6) ** 3",
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
        import torch


        def level(x: torch.Tensor, dims):
            return x.sum() + x.mean(dims) + x.std(False) + x.var((0, *dims)) + torch.linalg.vector_norm(x)
        """,
        """
        def level(meter):
            return meter.amax()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        name, tensor = self._reduction(node)
        if not name or self.host_reason(node) is not None:
            return
        given = bind(self.file, node)
        if given is None or "out" in given or not self._may_be_none(given.get("dim"), name in _ALL_BY_DEFAULT):
            return
        names = {value: parameter for parameter, value in given.items()}
        args = [
            arg if arg.keyword is None else arg.with_changes(keyword=cst.Name(names[arg.value])) for arg in node.args
        ]
        if tensor is not None:
            args.insert(0, cst.Arg(tensor))
        self.replace(node, node.with_changes(func=self.runtime(f"ops.{name}"), args=args))

    def _reduction(self, node: cst.Call) -> tuple[str, cst.BaseExpression | None]:
        """The name of the reduction that is called, if one is, and the tensor whose method it is."""
        target, method = self.file.resolve(node.func), method_call(node, *_NAMES)
        if target is not None:
            return _FUNCTIONS.get(target, ""), None
        if method is not None and is_tensor(self.file.kind(method[0])):
            return cst.ensure_type(node.func, cst.Attribute).attr.value, method[0]
        return "", None

    def _may_be_none(self, dim: cst.BaseExpression | None, by_default: bool) -> bool:
        """Whether a reduction along `dim` may be one along no axis; `by_default` is what to assume of what is not known."""
        value = dim if dim is None else bound_once(self.file, dim) or dim
        if isinstance(value, (cst.Tuple, cst.List)):
            return all(isinstance(element, cst.StarredElement) for element in value.elements)
        if isinstance(value, cst.ListComp) or (
            isinstance(value, cst.Call) and isinstance(value.func, cst.Name) and value.func.value in _COLLECTIONS
        ):
            return True
        return by_default and not isinstance(value, (cst.Integer, cst.UnaryOperation))
