"""Operators that PyTorch/XLA has no lowering for run on the host; each has an equal that stays on the device."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.arguments import bind, without
from porter.bounds import labels_below
from porter.rule import Example, RedirectRule, Rule, Safety
from porter.syntax.calls import has_star, method_call, with_keywords
from porter.syntax.values import is_tensor
from porter.syntax.walk import dotted, own_of_type

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
        Example(  # as it was written for torch 1, which gave what is real
            before=(
                "import torch\n\n\ndef spectrum(y, w):\n    s = torch.stft(y, 16, hop_length=4, window=w)\n"
                "    return s.pow(2).sum(-1)\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n"
                "    s = ops.stft(y, 16, hop_length=4, window=w, return_complex=False)\n    return s.pow(2).sum(-1)\n"
            ),
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
        Example(  # all of it by place
            before='import torch\n\n\ndef spectrum(y, w):\n    return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True).abs() + 1\n',
            after='import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n    return ops.stft_magnitude(y, 16, 4, 16, w, True, "reflect", False, True) + 1\n',
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
        Example(
            before=(
                'import torch\n\n\ndef spectrum(y, w):\n    return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True).abs()\n'
            ),
            after=(
                'import torch\nfrom . import ops\n\n\ndef spectrum(y, w):\n    return ops.stft_magnitude(y, 16, 4, 16, w, True, "reflect", False, True)\n'
            ),
            call="spectrum(y, w)",
            inputs="y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)\nw = torch.hann_window(16)",
            grad=("y",),
        ),
    )
    untouched: ClassVar = (
        # torch raises, or gives what is complex
        "import torch\n\n\ndef spectrum(y, w):\n    return torch.stft(y, 16, window=w)\n",
        # complex on one of the ways
        "import torch\n\n\ndef parts(y, c):\n    s = torch.stft(y, 16, return_complex=True)\n    if c:\n"
        "        s = torch.view_as_real(s)\n    return s\n",
        "import torch\n\n\ndef parts(y):\n    out = []\n    for k in range(2):\n        if k:\n            out.append(s.abs())\n"
        "        s = torch.stft(y, 16, return_complex=True)\n        out.append(torch.view_as_real(s))\n    return out\n",
        "import torch\n\n\ndef phases(y, w):\n    return torch.angle(torch.stft(y, 16, window=w, return_complex=True))\n",
        # what stands behind it by place would move, and what a star hides cannot be read
        'import torch\n\n\ndef f(y, w):\n    return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True, None).abs()\n',
        "import torch\n\n\ndef f(y, *options):\n    return torch.stft(y, *options).abs()\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) != "torch.stft" or self.file.host_reason(node) is not None:
            return
        given = bind(self.file, node)
        if given is None or "align_to_window" in given:
            return
        # Not given, torch 2 raises, unless something is complex; before it, the result was real.
        wanted = given.get("return_complex")
        if wanted is None and self._is_squared(node):
            asked = with_keywords(node, return_complex=cst.Name("False"))
            self.replace(node, asked.with_changes(func=self.runtime("ops.stft")))
            return
        if isinstance(wanted, cst.Name) and wanted.value == "False":
            self.replace(node.func, self.runtime("ops.stft"))
            return
        real = without(self.file, node, "return_complex")
        if isinstance(wanted, cst.Name) and wanted.value == "True" and real is not None:
            self._complex(node, real)

    def _is_squared(self, node: cst.Call) -> bool:
        """Whether the result is read as real: `s.pow(2).sum(-1)` adds the squares of both parts."""
        made = self.file.parent(node)
        function = self.file.function(node)
        if not isinstance(made, cst.Assign) or len(made.targets) != 1 or function is None or has_star(node):
            return False
        name = made.targets[0].target
        return isinstance(name, cst.Name) and any(
            squared is not None and dotted(squared["s"]) == name.value
            for call in own_of_type(function.body, cst.Call)
            if (squared := self.match("__s.pow(2).sum(-1)", call)) is not None
        )

    def _complex(self, node: cst.Call, real: cst.Call) -> None:
        read = self.file.parent(node)
        outer = self.file.parent(read) if read is not None else None
        if (
            isinstance(read, cst.Attribute)
            and read.attr.value == "abs"
            and isinstance(outer, cst.Call)
            and not outer.args
        ):
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
