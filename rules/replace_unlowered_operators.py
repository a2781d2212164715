"""Operators that PyTorch/XLA has no lowering for run on the host; each has an equal that stays on the device."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.arguments import bind, without
from porter.rule import Example, RedirectRule, Rule, Safety
from porter.syntax.calls import method_call, positional
from porter.syntax.values import is_tensor


class InterpolateOnDevice(RedirectRule):
    """Interpolate without `upsample_nearest1d` and `upsample_linear1d`.

    Neither operator (nor its gradient) has a lowering in PyTorch/XLA 2.5 to 2.9: the input goes to the host and the
    result comes back. Whole factors are a repeat, other factors a gather by indices computed as torch computes them.
    """

    code = "LOW001"
    title = "interpolate on the device"
    safety = Safety.EXACT
    message = "1-D interpolation has no lowering and runs on the host; the runtime's runs on the device"
    targets: ClassVar = {
        "torch.nn.functional.interpolate": "ops.interpolate",
        "torch.nn.functional.upsample": "ops.interpolate",
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
    untouched: ClassVar = ("def interpolate(x):\n    return x\n\n\ndef twice(x):\n    return interpolate(x)\n",)


class NormWeightsOnDevice(RedirectRule):
    """Normalise weights with operators that have a lowering.

    torch's weight norm calls `_weight_norm_interface`, which has none: every layer's weight goes to the host and back,
    forward and backward. The runtime's weight norm is the same hook with the same parameters and state_dict keys. On a
    TPU, kernels and convolutions of few samples apply it to what the direction gives, and the weight itself is computed
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
    )
    untouched: ClassVar = (
        "def weight_norm(layer):\n    return layer\n\n\ndef build(layer):\n    return weight_norm(layer)\n",
        "import torch\n\n\nclass Layer(torch.nn.Module):\n    def remove_weight_norm(self):\n        self.inner.remove_weight_norm()\n",
    )


class TransformOnDevice(Rule):
    """Take short-time Fourier transforms in real arithmetic.

    `_fft_r2c` has no lowering, and complex tensors have no gradient on XLA. With `return_complex=False` the transform
    is a product with cosines and sines, which is what a TPU does best; on the CPU torch's own transform is used.
    """

    code = "LOW003"
    title = "stft on the device"
    safety = Safety.EXACT
    message = "the FFT has no lowering and runs on the host; as a product with cosines and sines it runs on the device"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef spectrum(y, w):\n    s = torch.stft(y, 16, hop_length=4, win_length=16, window=w, center=False, return_complex=False)\n"
                "    return torch.sqrt(s.pow(2).sum(-1) + 1e-8)\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n    s = ops.stft(y, 16, hop_length=4, win_length=16, window=w, center=False, return_complex=False)\n"
                "    return torch.sqrt(s.pow(2).sum(-1) + 1e-8)\n"
            ),
            call="spectrum(y, w)",
            inputs="y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)\nw = torch.hann_window(16)",
            grad=("y",),
        ),
        Example(
            before=(
                "import torch\n\n\ndef spectrum(y, w):\n    s = torch.stft(y, 16, hop_length=4, window=w, return_complex=True)\n"
                "    return torch.view_as_real(s).pow(2).sum(-1)\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n    s = ops.stft_as_real(y, 16, hop_length=4, window=w)\n"
                "    return s.pow(2).sum(-1)\n"
            ),
            call="spectrum(y, w)",
            inputs="y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)\nw = torch.hann_window(16)",
            grad=("y",),
        ),
        Example(
            before="import torch\n\n\ndef spectrum(y, w):\n    return torch.stft(y, 16, window=w, return_complex=True).abs() + 1\n",
            after="import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n    return ops.stft_magnitude(y, 16, window=w) + 1\n",
            call="spectrum(y, w)",
            inputs="y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)\nw = torch.hann_window(16)",
            grad=("y",),
        ),
    )
    untouched: ClassVar = (
        # complex on one of the ways
        "import torch\n\n\ndef parts(y, c):\n    s = torch.stft(y, 16, return_complex=True)\n    if c:\n"
        "        s = torch.view_as_real(s)\n    return s\n",
        "import torch\n\n\ndef parts(y):\n    out = []\n    for k in range(2):\n        if k:\n            out.append(s.abs())\n"
        "        s = torch.stft(y, 16, return_complex=True)\n        out.append(torch.view_as_real(s))\n    return out\n",
        "import torch\n\n\ndef phases(y, w):\n    return torch.angle(torch.stft(y, 16, window=w, return_complex=True))\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) != "torch.stft" or self.file.host_reason(node) is not None:
            return
        given = bind(self.file, node)
        if given is None or "align_to_window" in given:
            return
        wanted = given.get("return_complex")
        if wanted is None or (isinstance(wanted, cst.Name) and wanted.value == "False"):
            self.replace(node.func, self.runtime("ops.stft"))
            return
        real = without(self.file, node, "return_complex")
        if isinstance(wanted, cst.Name) and wanted.value == "True" and real is not None:
            self._complex(node, real)

    def _complex(self, node: cst.Call, real: cst.Call) -> None:
        read = self.file.parent(node)
        outer = self.file.parent(read) if read is not None else None
        if isinstance(read, cst.Attribute) and read.attr.value == "abs" and isinstance(outer, cst.Call):
            self.replace(outer, real.with_changes(func=self.runtime("ops.stft_magnitude")))
        elif isinstance(read, cst.Arg) and isinstance(outer, cst.Call) and self._reads(outer):
            self.replace(outer, real.with_changes(func=self.runtime("ops.stft_as_real")))
        elif isinstance(read, cst.Assign) and len(read.targets) == 1 and isinstance(read.targets[0].target, cst.Name):
            reads = self._later_reads(read, read.targets[0].target)
            if reads:
                self.replace(node, real.with_changes(func=self.runtime("ops.stft_as_real")))
                for call in reads:
                    self.replace(call, call.args[0].value)

    def _reads(self, call: cst.Call) -> bool:
        return self.file.resolve(call.func) == "torch.view_as_real"

    def _later_reads(self, made: cst.Assign, name: cst.Name) -> list[cst.Call]:
        """The uses of a complex spectrum up to its next assignment, if all are `view_as_real`; else none."""
        found: list[cst.Call] = []
        function = self.file.function(made)
        seen = False
        block = self.file.siblings(self.file.statement(made))
        again = any(isinstance(a, (cst.For, cst.While)) for a in self.file.ancestors(made))
        for node in self.file.index.nodes:
            if node is name:
                seen = True
            if not (seen or again) or not isinstance(node, cst.Name) or node.value != name.value or node is name:
                continue
            if self.file.function(node) is not function:
                continue
            arg = self.file.parent(node)
            call = self.file.parent(arg) if arg is not None else None
            if isinstance(arg, cst.AssignTarget):
                continue
            if isinstance(call, cst.Call) and self._reads(call) and seen and self.file.statement(call) in block:
                found.append(call)
                if self._rebinds(call, name):
                    return found
            else:
                return []
        return found

    def _rebinds(self, call: cst.Call, name: cst.Name) -> bool:
        statement = self.file.statement(call)
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        return isinstance(small, cst.Assign) and any(
            isinstance(t.target, cst.Name) and t.target.value == name.value for t in small.targets
        )


class CountOnDevice(RedirectRule):
    """Count labels with a comparison instead of `bincount`.

    `bincount` has no lowering, and the length of its result follows the data. With the number of classes known, a
    comparison with all classes and a sum give the same counts.
    """

    code = "LOW004"
    title = "count labels on the device"
    safety = Safety.EXACT
    message = "bincount has no lowering and a data-dependent shape; counting by comparison has neither problem"
    targets: ClassVar = {"torch.bincount": "ops.bincount"}
    examples: ClassVar = (
        Example(
            before="import torch\n\n\ndef sizes(labels, n):\n    return torch.bincount(labels, minlength=n)\n",
            after="import torch\nfrom . import ops\n\n\ndef sizes(labels, n):\n    return ops.bincount(labels, minlength=n)\n",
            call="sizes(labels, 4)",
            inputs="labels = torch.tensor([0, 2, 2, 1])",
        ),
    )
    untouched: ClassVar = ("import numpy\n\n\ndef sizes(labels):\n    return numpy.bincount(labels)\n",)


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

    The gradient of `logdet` raises on XLA, and torch's LU factorisation leaves the device.
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
        plain = len(positional(node)) == 1 and len(node.args) == 1
        if target is not None and plain and self.file.host_reason(node) is None:
            self.replace(node.func, self.runtime(target))
            return
        found = method_call(node, "logdet", "inverse")
        if found is None or node.args or not is_tensor(self.file.kind(found[0])):
            return
        if self.file.host_reason(node) is None and isinstance(node.func, cst.Attribute):
            self.replace(node, self.fill("__f(__x)", f=f"ops.{node.func.attr.value}", x=found[0]))
