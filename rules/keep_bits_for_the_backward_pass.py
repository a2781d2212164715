"""Dropout and ReLU leave random numbers and results in memory, though a bit for each element would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import libcst as cst

from porter.rule import Example, RedirectRule, Safety
from porter.syntax.walk import descendants

_BEFORE = """import torch
from torch import nn


class Mix(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.drop = nn.Dropout(share)

    def forward(self, x, y):
        weights = self.drop(torch.softmax(x, -1))
        return torch.relu(torch.matmul(weights, y))
"""

_AFTER = (
    _BEFORE.replace("from torch import nn\n", "from torch import nn\nfrom . import ops\n", 1)
    .replace("nn.Dropout(", "ops.Dropout(")
    .replace("torch.matmul(", "ops.matmul(")
    .replace("torch.relu(", "ops.relu(")
)


class KeepBitsForTheBackwardPass(RedirectRule):
    """Keep a bit for each element of a dropout and of a ReLU.

    XLA keeps a dropout's random numbers, four bytes each, to decide again in the backward pass which elements stay; and
    for a product with the result, such as attention's with its values, that result too. On a TPU the runtime's dropout
    keeps one byte an element, and its product drops again. Of a ReLU, XLA keeps the result, to see where it is positive; the
    runtime's keeps one byte an element too. Elsewhere they are torch's own.
    """

    code = "TPU006"
    title = "keep bits for the backward pass"
    safety = Safety.EXACT
    message = "on a TPU the backward pass keeps a byte an element of dropout and ReLU, not random numbers and results"
    fixes_hazard = False
    supports_double_backward = False
    targets: ClassVar[Mapping[str, str]] = {
        "torch.nn.Dropout": "ops.Dropout",
        "torch.matmul": "ops.matmul",
        "torch.relu": "ops.relu",
        "torch.nn.functional.relu": "ops.relu",
    }
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Mix(0.0)(x, y), Mix(0.5).eval()(x, y)",
            inputs="""
                x = torch.linspace(-2, 2, 24).sin().reshape(2, 3, 4)
                y = torch.linspace(-1, 1, 40).reshape(2, 4, 5)
                """,
            grad=("x", "y"),
        ),
    )
    untouched: ClassVar = (
        # products without any dropout
        """
        import torch


        def mixed(x, y):
            return torch.matmul(x, y)
        """,
        # other kinds of dropout
        """
        from torch import nn


        def build(p):
            return nn.Dropout1d(p), nn.AlphaDropout(p), nn.ReLU()
        """,
        """
        def mixed(torch, nn, x, y):
            return nn.Dropout(0.5)(torch.matmul(x, y))
        """,
    )

    def wanted(self, node: cst.Attribute) -> bool:
        """Products only in files that drop something."""
        return self.file.resolve(node) != "torch.matmul" or self._drops

    @property
    def _drops(self) -> bool:
        nodes = descendants(self.file.module)
        return any(
            isinstance(n, (cst.Attribute, cst.Name)) and self.file.resolve(n) == "torch.nn.Dropout" for n in nodes
        )
