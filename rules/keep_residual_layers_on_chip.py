"""The signals between residual layers are written to memory, and a TPU waits for that."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.residual import residual_loop
from porter.rule import Example, Rule, Safety

_BEFORE = """import torch.nn.functional as F
from torch import nn

SLOPE = 0.1


class Block(nn.Module):
    def __init__(self, width, reach):
        super().__init__()
        self.wide = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=d, padding=d) for d in (1, reach)])
        self.near = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2) for _ in range(2)])
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.01 * (-1) ** i)

    def forward(self, x, mask=None):
        for first, second in zip(self.wide, self.near):
            step = F.leaky_relu(x, SLOPE)
            if mask is not None:
                step = step * mask
            step = F.leaky_relu(first(step), SLOPE)
            if mask is not None:
                step = step * mask
            x = second(step) + x
        return x


class Chain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(width, width, 7, padding=3) for _ in range(2)])
        for p in self.parameters():
            nn.init.constant_(p, 0.01)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x))
        return x
"""

_AFTER = (
    _BEFORE.replace("from torch import nn\n", "from torch import nn\nfrom . import ops\n", 1)
    .replace(
        "        for first, second in zip(self.wide, self.near):\n",
        "        x, layers = ops.residual_on_chip(x, zip(self.wide, self.near), SLOPE, mask)\n        for first, second in layers:\n",
    )
    .replace(
        "        for layer in self.layers:\n",
        "        x, layers = ops.residual_on_chip(x, self.layers)\n        for layer in layers:\n",
    )
)


class KeepResidualLayersOnChip(Rule):
    """Run a chain of residual layers in one kernel.

    Each layer of such a chain writes its signal to memory, for the next one and for the backward pass, which reads it
    again: memory is what a decoder waits for, not products. Where one sample's signal fits into the chip's own memory,
    one kernel (written in Pallas, so jax has to be installed) reads it, passes all layers, and writes the last result; the
    backward pass computes the others again from the first. Without jax, on a chip with little memory of its own, with a
    mask, and on all other devices, the layers run one by one as they did.
    """

    code = "TPU004"
    title = "residual layers in one kernel"
    safety = Safety.CLOSE
    message = "on a TPU the signals between these layers stay on the chip, where they are not written and read again"
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Chain(128).to(x.device)(Block(128, 3).to(x.device)(x))",
            inputs="x = torch.linspace(-1, 1, 2 * 128 * 16).reshape(2, 128, 16).sin()",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # another activation, another slope, two activations
        _BEFORE.replace("F.leaky_relu(x", "F.elu(x"),
        _BEFORE.replace("step = F.leaky_relu(x, SLOPE)", "step = F.leaky_relu(x, 0.2)").replace(
            "leaky_relu(x))", "relu(x))"
        ),
        _BEFORE.replace("F.leaky_relu(x", "F.leaky_relu(F.leaky_relu(x)"),
        # a sum that is something else, or that is scaled
        _BEFORE.replace("x = second(step) + x", "x = second(step) - x").replace("x + layer", "x * layer"),
        _BEFORE.replace("second(step) + x", "second(step) + step").replace("x = x + layer", "x = 0.5 * x + layer"),
        # it writes into what it was given
        _BEFORE.replace("x = second(step) + x", "x += second(step)").replace("x = x + layer", "x += layer"),
        # the layers in another order, and of another kind
        _BEFORE.replace("(first(step)", "(second(step)").replace(
            "nn.Conv1d(width, width, 7", "nn.Linear(width, width, 7"
        ),
        # something between is used later
        _BEFORE.replace("        return x", "        return step, x", 1).replace(
            "        return x\n", "        return layer(x)\n"
        ),
    )

    def visit_For(self, node: cst.For) -> None:
        found = residual_loop(self.file, node)
        if found is None:
            return
        signal, name = cst.Name(found.signal), self.free_name("layers")
        given = [signal, node.iter]
        if found.slope is not None or found.mask is not None:
            given.append(found.slope or cst.Float("0.01"))
        if found.mask is not None:
            given.append(cst.Name(found.mask))
        call = cst.Call(self.runtime("ops.residual_on_chip"), [cst.Arg(value) for value in given])
        both = cst.Tuple([cst.Element(signal), cst.Element(cst.Name(name))], lpar=[], rpar=[])
        run = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(both)], call)])
        self.replace(node, [run, node.with_changes(iter=cst.Name(name), leading_lines=[])])
