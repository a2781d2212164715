"""Operators that PyTorch/XLA has no lowering for run on the host; each has an equal that stays on the device."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind
from porter.analysis.bounds import labels_below
from porter.rule import Example, RedirectRule, Rule, Safety
from porter.syntax.calls import method_call
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
            before='import torch\nfrom torch.nn import functional as F\n\n\ndef twice(x):\n    return F.interpolate(x, scale_factor=2, mode="nearest")\n',
            after='import torch\nfrom torch.nn import functional as F\nfrom . import ops\n\n\ndef twice(x):\n    return ops.interpolate(x, scale_factor=2, mode="nearest")\n',
            call="twice(x)",
            inputs="x = torch.arange(12.0).reshape(1, 2, 6)",
            grad=("x",),
        ),
        Example(
            before='from torch.nn.functional import interpolate, relu\n\n\ndef longer(x, n):\n    return relu(interpolate(x, size=n, mode="linear"))\n',
            after='from torch.nn.functional import relu\nfrom .ops import interpolate\n\n\ndef longer(x, n):\n    return relu(interpolate(x, size=n, mode="linear"))\n',
            call="longer(x, 11)",
            inputs="x = torch.arange(12.0).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        "def interpolate(x):\n    return x\n\n\ndef twice(x):\n    return interpolate(x)\n",
        "import torch.nn.functional as F\n\n\ndef twice(x):\n    return F.interpolate(x, None, 2, 'bicubic')\n",
    )

    def wanted(self, node: cst.Attribute) -> bool:
        call = self.file.parent(node)
        if not isinstance(call, cst.Call) or call.func is not node:
            return True
        mode = (bind(self.file, call, "mode") or {}).get("mode")
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
            before=(
                "import torch\nfrom torch.nn.utils import spectral_norm, weight_norm\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return weight_norm(torch.nn.Conv1d(2, 3, 3))\n"
            ),
            after=(
                "import torch\nfrom torch.nn.utils import spectral_norm\nfrom .ops import weight_norm\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return weight_norm(torch.nn.Conv1d(2, 3, 3))\n"
            ),
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
        Example(
            before=(
                'import torch\n\n\ndef build():\n    torch.manual_seed(0)\n    layer = torch.nn.utils.weight_norm(torch.nn.Linear(2, 3), name="weight")\n'
                "    torch.nn.utils.remove_weight_norm(layer)\n    return layer\n"
            ),
            after=(
                'import torch\nfrom . import ops\n\n\ndef build():\n    torch.manual_seed(0)\n    layer = ops.weight_norm(torch.nn.Linear(2, 3), name="weight")\n'
                "    ops.remove_weight_norm(layer)\n    return layer\n"
            ),
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 4).reshape(2, 2)",
            grad=("x",),
        ),
        Example(
            before=(
                "import torch\nfrom torch.nn.utils.parametrizations import weight_norm\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return weight_norm(torch.nn.Conv1d(2, 3, 3))\n"
            ),
            after=(
                "import torch\nfrom .ops import parametrized_weight_norm as weight_norm\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return weight_norm(torch.nn.Conv1d(2, 3, 3))\n"
            ),
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        "def weight_norm(layer):\n    return layer\n\n\ndef build(layer):\n    return weight_norm(layer)\n",
        "import torch\n\n\nclass Layer(torch.nn.Module):\n    def remove_weight_norm(self):\n        self.inner.remove_weight_norm()\n",
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
            before=(
                "import torch\nfrom torch.nn.utils import parametrizations\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return parametrizations.spectral_norm(torch.nn.Conv1d(2, 3, 3), n_power_iterations=2)\n"
            ),
            after=(
                "import torch\nfrom torch.nn.utils import parametrizations\nfrom . import ops\n\n\ndef build():\n    torch.manual_seed(0)\n"
                "    return ops.parametrized_spectral_norm(torch.nn.Conv1d(2, 3, 3), n_power_iterations=2)\n"
            ),
            call="build().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(1, 2, 6)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef build():\n    return torch.nn.utils.spectral_norm(torch.nn.Linear(2, 3))\n",
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
    examples: ClassVar = (
        Example(
            before="import torch\n\n\ndef sizes(x, n):\n    return torch.bincount(x % n, minlength=n)\n",
            after="import torch\nfrom . import ops\n\n\ndef sizes(x, n):\n    return ops.bincount(x % n, minlength=n)\n",
            call="sizes(x, 4)",
            inputs="x = torch.tensor([0, 2, -3, 6])",
        ),
        Example(
            before=(
                "import torch\n\n\ndef sizes(scores, weights):\n    best = scores.argmax(-1)\n"
                "    return torch.bincount(best, weights, scores.shape[-1])\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef sizes(scores, weights):\n    best = scores.argmax(-1)\n"
                "    return ops.bincount(best, weights, scores.shape[-1])\n"
            ),
            call="sizes(scores, weights)",
            inputs="scores = torch.linspace(0, 9, 12).sin().reshape(4, 3)\nweights = torch.linspace(0, 1, 4)",
        ),
        Example(
            before="import torch\n\n\ndef loud(x: torch.Tensor):\n    return (x > 0.5).long().bincount(minlength=2)\n",
            after="import torch\nfrom . import ops\n\n\ndef loud(x: torch.Tensor):\n    return ops.bincount((x > 0.5).long(), minlength=2)\n",
            call="loud(x)",
            inputs="x = torch.linspace(0, 1, 5)",
        ),
    )
    untouched: ClassVar = (
        "import numpy\n\n\ndef sizes(labels):\n    return numpy.bincount(labels)\n",
        # how large the labels are, nobody knows
        "import torch\n\n\ndef sizes(labels, n):\n    return torch.bincount(labels, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    return torch.bincount(x % n)\n",
        "import torch\n\n\ndef sizes(x, n, m):\n    return torch.bincount(x % m, minlength=n)\n",
        "import torch\n\n\ndef sizes(x):\n    return torch.bincount(x % 8, minlength=4)\n",
        "import torch\n\n\ndef sizes(x, n):\n    return torch.bincount(x.clamp(0, n), minlength=n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    return torch.bincount(torch.fmod(x, n), minlength=n)\n",
        "import torch\n\n\ndef sizes(x):\n    return torch.bincount(x.argmax(0), minlength=x.shape[1])\n",
        "import torch\n\n\ndef sizes(x):\n    return torch.bincount((x % 4).long(), minlength=4)\n",  # 4.0 of -1e-9
        "import torch\n\n\ndef sizes(x, n):\n    k = x % n\n    n = n - 1\n    return torch.bincount(k, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    k = x % n\n    k[0] = 9\n    return torch.bincount(k, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    k = x % n\n    k.add_(1)\n    return torch.bincount(k, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    k = x % n\n    k += 1\n    return torch.bincount(k, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, book):\n    k = x % book.n\n    book.grow()\n    return torch.bincount(k, minlength=book.n)\n",
        "import torch\n\n\ndef sizes(x, n):\n    k = x % n\n    mix(k)\n    return torch.bincount(k, minlength=n)\n",
        "import torch\n\n\ndef sizes(x, many):\n    for n in many:\n        if n:\n            k = x % n\n"
        "        y = torch.bincount(k, minlength=n)\n    return y\n",
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
        if labels is None or least is None or self.file.host_reason(node) is not None:
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
            before="import torch\n\n\ndef apart(a, b):\n    return torch.cdist(a, b, p=2)\n",
            after="import torch\nfrom . import ops\n\n\ndef apart(a, b):\n    return ops.cdist(a, b, p=2)\n",
            call="apart(a, b)",
            inputs="a = torch.linspace(-1, 1, 6).reshape(3, 2)\nb = torch.linspace(0, 2, 8).reshape(4, 2)",
            grad=("a", "b"),
        ),
    )
    untouched: ClassVar = ("def apart(space, a, b):\n    return space.cdist(a, b)\n",)


class GateOnDevice(RedirectRule):
    """Gate with a product instead of `glu`, whose gradient has no lowering."""

    code = "LOW006"
    title = "gated linear units on the device"
    safety = Safety.EXACT
    message = "the gradient of glu has no lowering; a product with a sigmoid is the same"
    targets: ClassVar = {"torch.nn.functional.glu": "ops.glu", "torch.nn.GLU": "ops.GLU"}
    examples: ClassVar = (
        Example(
            before="import torch\nimport torch.nn.functional as F\n\n\ndef gate(x):\n    return F.glu(x, dim=1)\n",
            after="import torch\nimport torch.nn.functional as F\nfrom . import ops\n\n\ndef gate(x):\n    return ops.glu(x, dim=1)\n",
            call="gate(x)",
            inputs="x = torch.linspace(-1, 1, 8).reshape(1, 4, 2)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = ("def gate(layer, x):\n    return layer.glu(x)\n",)


class ComputeSincOnDevice(RedirectRule):
    """Compute `sinc` by a sine and a division, which have a lowering; it has none itself."""

    code = "LOW011"
    title = "sinc on the device"
    safety = Safety.EXACT
    message = "sinc has no lowering and runs on the host; a sine and a division run on the device"
    targets: ClassVar = {"torch.sinc": "ops.sinc", "torch.special.sinc": "ops.sinc"}
    examples: ClassVar = (
        Example(
            before="import torch\n\n\ndef low(t, cut):\n    return 2 * cut * torch.sinc(2 * cut * t)\n",
            after="import torch\nfrom . import ops\n\n\ndef low(t, cut):\n    return 2 * cut * ops.sinc(2 * cut * t)\n",
            call="low(t, 0.3)",
            inputs="t = torch.arange(-3.0, 4.0)",
            grad=("t",),
        ),
    )
    untouched: ClassVar = ("def low(maths, t):\n    return maths.sinc(t)\n",)


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
            before="from torch import nn\n\n\nclass Voice(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.lstm = nn.LSTM(3, 4, 2, batch_first=True)\n        for p in self.parameters():\n            nn.init.constant_(p, 0.3)\n\n    def forward(self, x):\n        return self.lstm(x)[1][0][-1]\n",
            after="from torch import nn\nfrom . import ops\n\n\nclass Voice(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.lstm = ops.LSTM(3, 4, 2, batch_first=True)\n        for p in self.parameters():\n            nn.init.constant_(p, 0.3)\n\n    def forward(self, x):\n        return self.lstm(x)[1][0][-1]\n",
            call="Voice().to(x.device)(x)",
            inputs="x = torch.linspace(-1, 1, 24).reshape(2, 4, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = ("from torch import nn\n\n\ndef make(n):\n    return nn.GRU(n, n)\n",)


class FactorSmallMatricesOnDevice(Rule):
    """Take log-determinants and inverses of small matrices with operators that have a lowering.

    The gradient of `logdet` raises on XLA, and torch's LU factorisation leaves the device. A matrix that has no inverse
    raises on the host alone: to see it on the device costs a read, so where that error is taken the call stays.
    """

    code = "LOW007"
    title = "log-determinant and inverse on the device"
    safety = Safety.EXACT
    message = "the factorisation leaves the device or fails in the backward pass; elimination by hand does neither"
    examples: ClassVar = (
        Example(
            before="import torch\n\n\ndef volume(w):\n    return torch.logdet(w) + torch.inverse(w).sum()\n",
            after="import torch\nfrom . import ops\n\n\ndef volume(w):\n    return ops.logdet(w) + ops.inverse(w).sum()\n",
            call="volume(w)",
            inputs="w = torch.tensor([[2.0, 0.5], [0.25, 1.0]])",
            grad=("w",),
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\nclass Mix(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.inv = torch.inverse(torch.eye(2))\n",
        # not known to be a tensor: some classes have methods of that name
        "def undo(flow, x):\n    return flow.inverse() + x\n",
        # the error of a matrix that has no inverse is taken
        "import torch\n\n\ndef undone(w):\n    try:\n        return torch.inverse(w)\n    except RuntimeError:\n        return w\n",
        "import torch\n\n\ndef undone(w):\n    return torch.inverse(w)\n\n\ndef tried(rows):\n    for row in rows:\n        try:\n            yield undone(row)\n        except torch.linalg.LinAlgError:\n            continue\n",
        # writes into a tensor that is there, which the replacement does not
        "import torch\n\n\ndef volume(w, result):\n    return torch.inverse(w, out=result)\n",
    )
    _functions: ClassVar = {
        "torch.logdet": "ops.logdet",
        "torch.inverse": "ops.inverse",
        "torch.linalg.inv": "ops.inverse",
    }

    def visit_Call(self, node: cst.Call) -> None:
        target = self._functions.get(self.file.resolve(node.func) or "")
        if target is not None:
            plain = len(node.args) == 1 and not node.args[0].star and node.args[0].keyword is None
            if plain and self._on_device(node):
                self.replace(node.func, self.runtime(target))
            return
        found = method_call(node, "logdet", "inverse")
        if found is None or node.args or not is_tensor(self.file.kind(found[0])) or not self._on_device(node):
            return
        if isinstance(node.func, cst.Attribute):
            self.replace(node, self.fill("__f(__x)", f=f"ops.{node.func.attr.value}", x=found[0]))

    def _on_device(self, node: cst.Call) -> bool:
        catching = self.file.project.catching
        return self.file.host_reason(node) is None and not catching.takes_from(self.file, node, RuntimeError)
