"""Layers whose results are all wanted: each is written, and read by the next layer, the loss and the backward pass."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.features import feature_loop
from porter.rule import Example, Rule, Safety

_BEFORE = """import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2


class Judge(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in zip(widths, widths[1:])
        )
        for p in self.parameters():
            nn.init.constant_(p, 0.01)

    def forward(self, x):
        seen = []
        for step in self.steps:
            x = step(x)
            x = F.leaky_relu(x, SLOPE)
            seen.append(x)
        return torch.flatten(x, 1, -1), seen
"""

_AFTER = _BEFORE.replace(
    "from torch.nn import functional as F\n", "from torch.nn import functional as F\nfrom . import ops\n"
).replace(
    "        for step in self.steps:\n",
    "        x, layers, found = ops.features_on_chip(x, self.steps, SLOPE)\n"
    "        seen.extend(found)\n"
    "        for step in layers:\n",
)


class KeepFeaturesOnChip(Rule):
    """Run a chain of layers whose results are all wanted in few kernels.

    A discriminator's layers are few and wide: their weights are as large as their signals, and XLA moves each of both
    between memory and the chip for the layer, for the next one, for the loss and for the backward pass. A kernel
    (written in Pallas, so jax has to be installed) holds all weights on the chip while the samples of a batch go by,
    one at a time: a result is written once and read once, and norms of weights are found in it too. Layers whose
    weights do not fit together run in several kernels. A first layer of one channel is a sum of shifted samples, which
    a loss on its result computes again instead of reading it. Without jax, on a chip with little memory of its own, and
    on all other devices, all layers run one by one; so they do where gradients have to have gradients themselves
    (`create_graph`), which those of a kernel do not.
    """

    code = "TPU008"
    title = "layers with their results in few kernels"
    safety = Safety.CLOSE
    message = "on a TPU the weights of these layers stay on the chip, and each result is written and read once"
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="(lambda x, seen: (x, *seen))(*Judge(1, 128, 128).to(x.device)(x))",
            inputs="x = torch.linspace(-1, 1, 2 * 81 * 2).reshape(2, 1, 81, 2).sin()",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # another activation, another value kept, nothing kept
        _BEFORE.replace("F.leaky_relu(x, SLOPE)", "F.elu(x)"),
        _BEFORE.replace("seen.append(x)", "seen.append(x * 2)"),
        _BEFORE.replace("            seen.append(x)\n", ""),
        # kept before the activation
        _BEFORE.replace("            seen.append(x)\n", "").replace(
            "            x = F.leaky", "            seen.append(x)\n            x = F.leaky"
        ),
        # a list of some other kind, or a layer that is used later
        _BEFORE.replace("seen = []", "seen = self.kept()"),
        _BEFORE.replace("return torch", "return step, torch"),
        # a slope that changes, and a second list
        _BEFORE.replace("            x = step(x)", "            SLOPE = 0.1\n            x = step(x)"),
        _BEFORE.replace("seen = []", "seen, other = [], []").replace(
            "            seen.append(x)\n", "            seen.append(x)\n            other.append(x)\n"
        ),
        # a penalty on gradients, which have gradients themselves then
        _BEFORE
        + "\n\ndef penalty(x, y):\n    return torch.autograd.grad(y, x, create_graph=True)[0].square().mean()\n",
        _BEFORE + "\n\ndef penalty(x, y):\n    return torch.autograd.grad(y, x, None, True, True)[0].square().mean()\n",
        # something else that is done on the way, whether its value is used or not
        _BEFORE.replace("            x = F.leaky", "            y = seen.pop(0)\n            x = F.leaky"),
        _BEFORE.replace("            x = F.leaky", "            y = torch.randn_like(x)\n            x = F.leaky"),
        _BEFORE.replace(
            "            x = F.leaky", "            if x.any():\n                y = 1\n            x = F.leaky"
        ),
        # a list that may be another one, and a layer that is looked at later
        _BEFORE.replace("forward(self, x):", "forward(self, x, seen=None):"),
        _BEFORE.replace("seen = []", "seen = []\n        seen, n = self.kept(), 1"),
        _BEFORE.replace("return torch", "self.last = lambda: step\n        return torch"),
        # layers from elsewhere
        _BEFORE.replace("in self.steps:", "in steps(self):"),
    )

    def visit_For(self, node: cst.For) -> None:
        found = feature_loop(self.file, node)
        if found is None:
            return
        signal, layers, made = cst.Name(found.signal), self.free_name("layers"), self.free_name("found")
        given = [signal, node.iter, *([] if found.slope is None else [found.slope])]
        call = cst.Call(self.runtime("ops.features_on_chip"), [cst.Arg(value) for value in given])
        names = (signal, cst.Name(layers), cst.Name(made))
        targets = cst.Tuple([cst.Element(name) for name in names], lpar=[], rpar=[])
        run = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(targets)], call)])
        keep = cst.parse_statement(f"{found.features}.extend({made})")
        self.replace(node, [run, keep, node.with_changes(iter=cst.Name(layers), leading_lines=[])])
