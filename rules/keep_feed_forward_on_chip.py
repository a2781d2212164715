"""The wide signal between two convolutions is written to memory, and a TPU waits for that."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.feed_forward import wide_layers
from porter.rule import Example, Rule, Safety

_BEFORE = """import torch
from torch import nn
import torch.nn.functional as F


class Wide(nn.Module):
    def __init__(self, share, soft=False):
        super().__init__()
        self.soft = soft
        self.widen = nn.Conv1d(3, 8, 3)
        self.narrow = nn.Conv1d(8, 3, 3)
        self.forget = nn.Dropout(share)
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.1 * (-1) ** i)

    def around(self, x):
        return F.pad(x, (1, 1))

    def forward(self, x, mask):
        y = self.widen(self.around(x * mask))
        if self.soft:
            y = y * torch.sigmoid(y)
        else:
            y = torch.relu(y)
        y = self.forget(y)
        return self.narrow(self.around(y * mask)) * mask
"""

_AFTER = _BEFORE.replace(
    "import torch.nn.functional as F\n", "import torch.nn.functional as F\nfrom . import ops\n"
).replace("self.widen(self.around", "ops.wide(self.widen, self.around")


class KeepFeedForwardOnChip(Rule):
    """Run two convolutions with a ReLU between them in one kernel.

    Between the two the signal is several times as wide, and it is written, rectified, dropped, masked, padded and read
    again, forward and backward. On a TPU the first convolution is not computed where it is asked for: it waits, and so
    does what ReLU, dropout, mask and padding make of it, until the second is asked for. Then a kernel (written in
    Pallas, so jax has to be installed) computes both with one sample's signal in the chip's own memory, and the backward
    pass computes the wide one again. Whoever does anything else with it, such as another activation, sees the tensor
    that it always was. In functions that write to tensors in place nothing waits.
    """

    code = "TPU009"
    title = "two convolutions in one kernel"
    safety = Safety.CLOSE
    message = (
        "on a TPU what this layer gives stays on the chip until the next one is computed, and is not written and read"
    )
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Wide(0.0).to(x.device)(x, mask), Wide(0.5, True).to(x.device).eval()(x, mask)",
            inputs="""
                x = torch.linspace(-3, 3, 2 * 3 * 7).sin().reshape(2, 3, 7)
                mask = (torch.arange(7) < torch.tensor([[[7]], [[4]]])).float()
                """,
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # another activation, and none
        _BEFORE.replace("torch.relu(y)", "torch.tanh(y)"),
        _BEFORE.replace("y = torch.relu(y)", "pass"),
        # written to in place
        _BEFORE.replace("torch.relu(y)", "torch.relu_(y)"),
        _BEFORE.replace("y = self.forget(y)", "y *= 2"),
        # one layer alone, and layers of another kind
        _BEFORE.replace("self.narrow(self", "(self").replace(" * mask\n\n", "\n\n"),
        _BEFORE.replace("nn.Conv1d(8, 3, 3)", "nn.Linear(8, 3)"),
        # a sum between, and a norm
        _BEFORE.replace("self.forget = nn.Dropout(share)", "self.forget = nn.GroupNorm(2, 8)"),
        _BEFORE.replace("self.around(y * mask)", "self.around(y + mask)"),
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for call in wide_layers(self.file, node):
            given = [cst.Arg(call.func), *call.args]
            self.replace(call, cst.Call(self.runtime("ops.wide"), given), alone=True)
