"""Operators that PyTorch/XLA has no lowering for run on the host; each has an equal that stays on the device."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import argument_for, bind
from porter.analysis.bounds import labels_below
from porter.analysis.catching import Catching
from porter.rule import Example, RedirectRule, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.predicates import is_plain
from porter.syntax.values import is_tensor

_COMMA = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


class InterpolateOnDevice(RedirectRule):
    """Interpolate without `upsample_nearest1d` and `upsample_linear1d`.

    Neither operator (nor its gradient) has a lowering in PyTorch/XLA 2.5 to 2.9: the input goes to the host and the
    result comes back. Whole factors are a repeat, other factors a gather by indices computed as torch computes them.
    Calls for a mode of several axes that has no lowering either stay as they are.
    """

    code = "LOW001"
    title = "interpolate on the device"
    safety = Safety.EXACT
    message = "1-D interpolation has no lowering and runs on the host; the runtime's runs on the device"
    targets: ClassVar = {
        "torch.nn.functional.interpolate": "ops.interpolate",
        "torch.nn.functional.upsample": "ops.upsample",
        "torch.nn.Upsample": "ops.Upsample",
    }
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.nn import functional as F


                def twice(x):
                    return F.interpolate(x, scale_factor=2, mode="nearest")
                """,
            after="""
                import torch
                from torch.nn import functional as F
                from . import ops


                def twice(x):
                    return ops.interpolate(x, scale_factor=2, mode="nearest")
                """,
            call="twice(x)",
            inputs="x = torch.arange(12.0).reshape(1, 2, 6)",
            grad=("x",),
        ),
        Example(
            before="""
                from torch.nn.functional import interpolate, relu


                def longer(x, n):
                    return relu(interpolate(x, size=n, mode="linear"))
                """,
            after="""
                from torch.nn.functional import relu
                from .ops import interpolate


                def longer(x, n):
                    return relu(interpolate(x, size=n, mode="linear"))
                """,
            call="longer(x, 11)",
            inputs="x = torch.arange(12.0).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        def interpolate(x):
            return x


        def twice(x):
            return interpolate(x)
        """,
        """
        import torch.nn.functional as F


        def twice(x):
            return F.interpolate(x, None, 2, 'bicubic')
        """,
    )

    def wanted(self, node: cst.Attribute) -> bool:
        call = self.file.parent(node)
        if not isinstance(call, cst.Call) or call.func is not node:
            return True
        mode = argument_for(self.file, call, "mode")
        return not isinstance(mode, cst.SimpleString) or mode.evaluated_value not in ("bicubic", "trilinear")


class NormWeightsOnDevice(RedirectRule):
    """Normalise weights with operators that have a lowering.

    torch's weight norm calls `_weight_norm_interface`, which has none: every layer's weight goes to the host and back,
    forward and backward. The runtime's weight norm is the same hook with the same parameters and state_dict keys; that
    of the newer spelling is torch's own parametrization with another forward. On a TPU, kernels and convolutions of few samples apply it to what the direction gives, and the weight itself is computed
    where somebody looks at it.
    """

    code = "LOW002"
    title = "weight norm on the device"
    safety = Safety.EXACT
    message = "weight norm has no lowering: every weight goes to the host and back; the runtime's stays on the device"
    targets: ClassVar = {
        "torch.nn.utils.weight_norm": "ops.weight_norm",
        "torch.nn.utils.remove_weight_norm": "ops.remove_weight_norm",
        "torch.nn.utils.weight_norm.weight_norm": "ops.weight_norm",
        "torch.nn.utils.weight_norm.remove_weight_norm": "ops.remove_weight_norm",
        "torch.nn.utils.parametrizations.weight_norm": "ops.parametrized_weight_norm",
    }
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.nn.utils import spectral_norm, weight_norm


                def build():
                    torch.manual_seed(0)
                    return weight_norm(torch.nn.Conv1d(2, 3, 3))
                """,
            after="""
                import torch
                from torch.nn.utils import spectral_norm
                from .ops import weight_norm


                def build():
                    torch.manual_seed(0)
                    return weight_norm(torch.nn.Conv1d(2, 3, 3))
                """,
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def build():
                    torch.manual_seed(0)
                    layer = torch.nn.utils.weight_norm(torch.nn.Linear(2, 3), name="weight")
                    torch.nn.utils.remove_weight_norm(layer)
                    return layer
                """,
            after="""
                import torch
                from . import ops


                def build():
                    torch.manual_seed(0)
                    layer = ops.weight_norm(torch.nn.Linear(2, 3), name="weight")
                    ops.remove_weight_norm(layer)
                    return layer
                """,
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 4).reshape(2, 2)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch
                from torch.nn.utils.parametrizations import weight_norm


                def build():
                    torch.manual_seed(0)
                    return weight_norm(torch.nn.Conv1d(2, 3, 3))
                """,
            after="""
                import torch
                from .ops import parametrized_weight_norm as weight_norm


                def build():
                    torch.manual_seed(0)
                    return weight_norm(torch.nn.Conv1d(2, 3, 3))
                """,
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        def weight_norm(layer):
            return layer


        def build(layer):
            return weight_norm(layer)
        """,
        """
        import torch


        class Layer(torch.nn.Module):
            def remove_weight_norm(self):
                self.inner.remove_weight_norm()
        """,
    )


class NormSpectraOnDevice(RedirectRule):
    """Divide weights by their largest singular value without a fallback.

    torch's parametrization measures it with `vdot`, which has no lowering, so that every forward stops the step; of
    real numbers `dot` is the same. The older `torch.nn.utils.spectral_norm` takes `dot` itself, and stays.
    """

    code = "LOW009"
    title = "spectral norm on the device"
    safety = Safety.EXACT
    message = "spectral norm takes `vdot`, which runs on the host; of real numbers `dot` is the same, on the device"
    targets: ClassVar = {"torch.nn.utils.parametrizations.spectral_norm": "ops.parametrized_spectral_norm"}
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.nn.utils import parametrizations


                def build():
                    torch.manual_seed(0)
                    return parametrizations.spectral_norm(torch.nn.Conv1d(2, 3, 3), n_power_iterations=2)
                """,
            after="""
                import torch
                from torch.nn.utils import parametrizations
                from . import ops


                def build():
                    torch.manual_seed(0)
                    return ops.parametrized_spectral_norm(torch.nn.Conv1d(2, 3, 3), n_power_iterations=2)
                """,
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def build():
            return torch.nn.utils.spectral_norm(torch.nn.Linear(2, 3))
        """,
    )


class CountOnDevice(Rule):
    """Count labels with a comparison instead of `bincount`.

    `bincount` has no lowering, and the length of its result follows the data: `minlength` is only a least length. Where
    the labels are known to be below it (remainders, clamped or drawn labels, places along an axis of that size), a
    comparison with all of them and a sum give the same counts. Other calls stay.
    """

    code = "LOW004"
    title = "count labels on the device"
    safety = Safety.EXACT
    message = "bincount has no lowering; labels that are known to be below `minlength` are counted by comparison"
    calls: ClassVar = ("bincount",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def sizes(x, n):
                    return torch.bincount(x % n, minlength=n)
                """,
            after="""
                import torch
                from . import ops


                def sizes(x, n):
                    return ops.bincount(x % n, minlength=n)
                """,
            call="sizes(x, 4)",
            inputs="x = torch.tensor([0, 2, -3, 6])",
        ),
        Example(
            before="""
                import torch


                def sizes(scores, weights):
                    best = scores.argmax(-1)
                    return torch.bincount(best, weights, scores.shape[-1])
                """,
            after="""
                import torch
                from . import ops


                def sizes(scores, weights):
                    best = scores.argmax(-1)
                    return ops.bincount(best, weights, scores.shape[-1])
                """,
            call="sizes(scores, weights)",
            inputs="""
                scores = torch.linspace(0, 9, 12).sin().reshape(4, 3)
                weights = torch.linspace(0, 1, 4)
                """,
        ),
        Example(
            before="""
                import torch


                def loud(x: torch.Tensor):
                    return (x > 0.5).long().bincount(minlength=2)
                """,
            after="""
                import torch
                from . import ops


                def loud(x: torch.Tensor):
                    return ops.bincount((x > 0.5).long(), minlength=2)
                """,
            call="loud(x)",
            inputs="x = torch.linspace(0, 1, 5)",
        ),
    )
    untouched: ClassVar = (
        """
        import numpy


        def sizes(labels):
            return numpy.bincount(labels)
        """,
        # how large the labels are, nobody knows
        """
        import torch


        def sizes(labels, n):
            return torch.bincount(labels, minlength=n)
        """,
        """
        import torch


        def sizes(x, n):
            return torch.bincount(x % n)
        """,
        """
        import torch


        def sizes(x, n, m):
            return torch.bincount(x % m, minlength=n)
        """,
        """
        import torch


        def sizes(x):
            return torch.bincount(x % 8, minlength=4)
        """,
        """
        import torch


        def sizes(x, n):
            return torch.bincount(x.clamp(0, n), minlength=n)
        """,
        """
        import torch


        def sizes(x, n):
            return torch.bincount(torch.fmod(x, n), minlength=n)
        """,
        """
        import torch


        def sizes(x):
            return torch.bincount(x.argmax(0), minlength=x.shape[1])
        """,
        """
        import torch


        def sizes(x):
            return torch.bincount((x % 4).long(), minlength=4)
        """,  # 4.0 of -1e-9
        """
        import torch


        def sizes(x, n):
            k = x % n
            n = n - 1
            return torch.bincount(k, minlength=n)
        """,
        """
        import torch


        def sizes(x, n):
            k = x % n
            k[0] = 9
            return torch.bincount(k, minlength=n)
        """,
        """
        import torch


        def sizes(x, n):
            k = x % n
            k.add_(1)
            return torch.bincount(k, minlength=n)
        """,
        """
        import torch


        def sizes(x, n):
            k = x % n
            k += 1
            return torch.bincount(k, minlength=n)
        """,
        """
        import torch


        def sizes(x, book):
            k = x % book.n
            book.grow()
            return torch.bincount(k, minlength=book.n)
        """,
        """
        import torch


        def sizes(x, n):
            k = x % n
            mix(k)
            return torch.bincount(k, minlength=n)
        """,
        """
        import torch


        def sizes(x, many):
            for n in many:
                if n:
                    k = x % n
                y = torch.bincount(k, minlength=n)
            return y
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.bincount":
            if self._proven(node, None):
                self.replace(node.func, self.runtime("ops.bincount"))
            return
        method = method_call(node, "bincount")
        if method is not None and is_tensor(self.file.kind(method[0])) and self._proven(node, method[0]):
            given = cst.Arg(method[0], comma=_COMMA)
            self.replace(node, node.with_changes(func=self.runtime("ops.bincount"), args=[given, *node.args]))

    def _proven(self, node: cst.Call, labels: cst.BaseExpression | None) -> bool:
        """Whether the labels, the call's first argument unless they are given, are below its `minlength`."""
        given = bind(self.file, node) or {}
        labels, least = labels or given.get("input"), given.get("minlength")
        if labels is None or least is None or self.host_reason(node) is not None:
            return False
        return labels_below(self.file, labels, least)


class MeasureDistancesOnDevice(RedirectRule):
    """Compute pairwise distances with operators whose gradients have a lowering.

    `_cdist_backward` has none.
    """

    code = "LOW005"
    title = "pairwise distances on the device"
    safety = Safety.EXACT
    message = "the gradient of cdist has no lowering; the runtime's distances have one"
    targets: ClassVar = {"torch.cdist": "ops.cdist"}
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def apart(a, b):
                    return torch.cdist(a, b, p=2)
                """,
            after="""
                import torch
                from . import ops


                def apart(a, b):
                    return ops.cdist(a, b, p=2)
                """,
            call="apart(a, b)",
            inputs="""
                a = torch.linspace(-1, 1, 6).reshape(3, 2)
                b = torch.linspace(0, 2, 8).reshape(4, 2)
                """,
            grad=("a", "b"),
        ),
    )
    untouched: ClassVar = (
        """
        def apart(space, a, b):
            return space.cdist(a, b)
        """,
    )


class GateOnDevice(RedirectRule):
    """Gate with a product instead of `glu`, whose gradient has no lowering."""

    code = "LOW006"
    title = "gated linear units on the device"
    safety = Safety.EXACT
    message = "the gradient of glu has no lowering; a product with a sigmoid is the same"
    targets: ClassVar = {"torch.nn.functional.glu": "ops.glu", "torch.nn.GLU": "ops.GLU"}
    examples: ClassVar = (
        Example(
            before="""
                import torch
                import torch.nn.functional as F


                def gate(x):
                    return F.glu(x, dim=1)
                """,
            after="""
                import torch
                import torch.nn.functional as F
                from . import ops


                def gate(x):
                    return ops.glu(x, dim=1)
                """,
            call="gate(x)",
            inputs="x = torch.linspace(-1, 1, 8).reshape(1, 4, 2)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        def gate(layer, x):
            return layer.glu(x)
        """,
    )


class ComputeSincOnDevice(RedirectRule):
    """Compute `sinc` by a sine and a division, which have a lowering; it has none itself."""

    code = "LOW011"
    title = "sinc on the device"
    safety = Safety.EXACT
    message = "sinc has no lowering and runs on the host; a sine and a division run on the device"
    targets: ClassVar = {"torch.sinc": "ops.sinc", "torch.special.sinc": "ops.sinc"}
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def low(t, cut):
                    return 2 * cut * torch.sinc(2 * cut * t)
                """,
            after="""
                import torch
                from . import ops


                def low(t, cut):
                    return 2 * cut * ops.sinc(2 * cut * t)
                """,
            call="low(t, 0.3)",
            inputs="t = torch.arange(-3.0, 4.0)",
            grad=("t",),
        ),
    )
    untouched: ClassVar = (
        """
        def low(maths, t):
            return maths.sinc(t)
        """,
    )


class RememberOnDevice(RedirectRule):
    """Run an LSTM without sending scalars to the device for each of its steps.

    torch's own splits the gates with `unsafe_split`, and PyTorch/XLA sends a scalar for each piece but the first: three
    for each step and layer, in every step of training. The runtime's has the same parameters and state_dict keys.
    """

    code = "LOW008"
    title = "LSTMs on the device"
    safety = Safety.CLOSE
    message = "an LSTM sends three scalars to the device for each of its steps; the runtime's sends none"
    targets: ClassVar = {"torch.nn.LSTM": "ops.LSTM"}
    examples: ClassVar = (
        Example(
            before="""
                from torch import nn


                class Voice(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.lstm = nn.LSTM(3, 4, 2, batch_first=True)
                        for p in self.parameters():
                            nn.init.constant_(p, 0.3)

                    def forward(self, x):
                        return self.lstm(x)[1][0][-1]
                """,
            after="""
                from torch import nn
                from . import ops


                class Voice(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.lstm = ops.LSTM(3, 4, 2, batch_first=True)
                        for p in self.parameters():
                            nn.init.constant_(p, 0.3)

                    def forward(self, x):
                        return self.lstm(x)[1][0][-1]
                """,
            call="Voice().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 24).reshape(2, 4, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        from torch import nn


        def make(n):
            return nn.GRU(n, n)
        """,
    )


class FactorSmallMatricesOnDevice(Rule):
    """Take log-determinants and inverses of small matrices with operators that have a lowering.

    The gradient of `logdet` raises on XLA, and torch's LU factorisation leaves the device. A matrix that has no inverse
    raises on the host alone: to see it on the device costs a read, so where that error is taken the call stays.
    """

    code = "LOW007"
    title = "log-determinant and inverse on the device"
    safety = Safety.EXACT
    message = "the factorisation leaves the device or fails in the backward pass; elimination by hand does neither"
    calls: ClassVar = ("logdet", "inverse", "inv")
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def volume(w):
                    return torch.logdet(w) + torch.inverse(w).sum()
                """,
            after="""
                import torch
                from . import ops


                def volume(w):
                    return ops.logdet(w) + ops.inverse(w).sum()
                """,
            call="volume(w)",
            inputs="w = torch.tensor([[2.0, 0.5], [0.25, 1.0]])",
            grad=("w",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        class Mix(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inv = torch.inverse(torch.eye(2))
        """,
        # not known to be a tensor: some classes have methods of that name
        """
        def undo(flow, x):
            return flow.inverse() + x
        """,
        # the error of a matrix that has no inverse is taken
        """
        import torch


        def undone(w):
            try:
                return torch.inverse(w)
            except RuntimeError:
                return w
        """,
        """
        import torch


        def undone(w):
            return torch.inverse(w)


        def tried(rows):
            for row in rows:
                try:
                    yield undone(row)
                except torch.linalg.LinAlgError:
                    continue
        """,
        # writes into a tensor that is there, which the replacement does not
        """
        import torch


        def volume(w, result):
            return torch.inverse(w, out=result)
        """,
    )
    _functions: ClassVar = {
        "torch.logdet": "ops.logdet",
        "torch.inverse": "ops.inverse",
        "torch.linalg.inv": "ops.inverse",
    }

    def visit_Call(self, node: cst.Call) -> None:
        target = self._functions.get(self.file.full_name(node.func))
        if target is not None:
            plain = len(node.args) == 1 and is_plain(node.args[0])
            if plain and self._on_device(node):
                self.replace(node.func, self.runtime(target))
            return
        found = method_call(node, "logdet", "inverse")
        if found is None or node.args or not is_tensor(self.file.kind(found[0])) or not self._on_device(node):
            return
        if isinstance(node.func, cst.Attribute):
            self.replace(node, self.fill("__f(__x)", f=f"ops.{node.func.attr.value}", x=found[0]))

    def _on_device(self, node: cst.Call) -> bool:
        catching = self.file.project.fact(Catching)
        return self.host_reason(node) is None and not catching.takes_from(self.file, node, RuntimeError)
