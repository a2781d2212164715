"""The signals between gated layers are written to memory, and a TPU waits for that."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.gated import gated_loop
from porter.rule import Example, Rule, Safety

_BEFORE = """import torch
from torch import nn


def gate(a, b, sizes):
    both = a + b
    size = sizes[0]
    return torch.tanh(both[:, :size, :]) * torch.sigmoid(both[:, size:, :])


class Stack(nn.Module):
    def __init__(self, width, number, given=0):
        super().__init__()
        self.width = width
        self.number = number
        self.opening = nn.ModuleList()
        self.closing = nn.ModuleList()
        self.forget = nn.Dropout(0.0)
        self.tell = nn.Conv1d(given, 2 * width * number, 1) if given else None
        for i in range(number):
            layer = nn.Conv1d(width, 2 * width, 3, padding=1)
            self.opening.append(layer)
            self.closing.append(nn.Conv1d(width, 2 * width if i < number - 1 else width, 1))
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.05 * (-1) ** i)

    def forward(self, x, mask, told=None):
        total = torch.zeros_like(x)
        sizes = [self.width]
        if told is not None:
            told = self.tell(told)
        for i in range(self.number):
            both = self.opening[i](x)
            if told is not None:
                start = i * 2 * self.width
                part = told[:, start : start + 2 * self.width, :]
            else:
                part = torch.zeros_like(both)
            gated = self.forget(gate(both, part, sizes))
            out = self.closing[i](gated)
            if i < self.number - 1:
                x = (x + out[:, : self.width, :]) * mask
                total = total + out[:, self.width :, :]
            else:
                total = total + out
        return total * mask
"""

_AFTER = _BEFORE.replace("from torch import nn\n", "from torch import nn\nfrom . import ops\n", 1).replace(
    "        for i in range(self.number):\n            both",
    "        x, total, numbers = ops.gated_on_chip(x, total, range(self.number), self.opening, self.closing, self.width, told, mask, self.forget)\n"
    "        for i in numbers:\n            both",
)


class KeepGatedLayersOnChip(Rule):
    """Run a chain of gated layers (a WaveNet) in few kernels.

    Every layer of such a chain writes its signals to memory, its gates twice as wide, and the backward pass reads them
    again. Where one sample's signal fits into the chip's own memory, a kernel (written in Pallas, so jax has to be
    installed) reads it, passes as many layers as there is memory for weights, and writes signal and total; the backward
    pass computes the others again. What the loop computes is not told from its names: helpers are put in their place,
    and the result must be the definition. Without jax, on a chip with little memory of its own, with dropout, and on all
    other devices, the layers run one by one as they did.
    """

    code = "TPU005"
    title = "gated layers in few kernels"
    safety = Safety.CLOSE
    message = "on a TPU the signals between these layers stay on the chip, where they are not written and read again"
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Stack(6, 3).to(x.device)(x, mask), Stack(6, 2, 4).to(x.device)(x, mask, told)",
            inputs="""
                x = torch.linspace(-1, 1, 2 * 6 * 16).reshape(2, 6, 16).sin()
                mask = (torch.arange(16) < torch.tensor([[[16]], [[11]]])).float()
                told = torch.linspace(-1, 1, 8).reshape(2, 4, 1)
                """,
            grad=("x", "told"),
        ),
    )
    untouched: ClassVar = (
        # other gates, and other halves
        _BEFORE.replace("torch.tanh(both", "torch.relu(both"),
        _BEFORE.replace("torch.tanh(both[:, :size, :])", "torch.tanh(both[:, size:, :])"),
        _BEFORE.replace("out[:, : self.width, :]) * mask", "out[:, self.width :, :]) * mask"),
        # a condition from elsewhere, and a signal that is not masked
        _BEFORE.replace("start = i * 2 * self.width", "start = i * self.width"),
        _BEFORE.replace("(x + out[:, : self.width, :]) * mask", "x + out[:, : self.width, :]"),
        # a layer that goes two ways, and a loop that leaves one out
        _BEFORE.replace("self.closing[i](gated)", "self.closing[i](gated + x)"),
        _BEFORE.replace(
            "for i in range(self.number):\n            both", "for i in range(1, self.number):\n            both"
        ),
        # what a layer gave is read later
        _BEFORE.replace("return total * mask", "return total * mask, out"),
        # layers of another kind
        _BEFORE.replace("layer = nn.Conv1d(width, 2 * width, 3, padding=1)", "layer = nn.Linear(width, 2 * width)"),
    )

    def visit_For(self, node: cst.For) -> None:
        found = gated_loop(self.file, node)
        if found is None:
            return
        name = self.free_name("numbers")
        call = self.fill(
            "__f(__signal, __total, __numbers, __gates, __passes, __width, __condition, __mask)",
            f="ops.gated_on_chip",
            signal=found.signal,
            total=found.total,
            numbers=node.iter,
            gates=f"self.{found.gates}",
            passes=f"self.{found.passes}",
            width=found.width,
            condition=found.condition,
            mask=found.mask,
        )
        assert isinstance(call, cst.Call)
        if found.dropout is not None:
            dropout = cst.Arg(cst.parse_expression(f"self.{found.dropout}"))
            call = call.with_changes(args=[*call.args, dropout])
        targets = cst.Tuple([cst.Element(cst.Name(n)) for n in (found.signal, found.total, name)], lpar=[], rpar=[])
        run = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(targets)], call)])
        self.replace(node, [run, node.with_changes(iter=cst.Name(name), leading_lines=[])])
