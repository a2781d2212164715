"""Windowed relative positions fill a few diagonals; padded and skewed they fill whole matrices."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.windowed import windowed_products
from porter.rule import Example, Rule, Safety
from porter.syntax.walk import dotted

_HELPERS = """
    def near(self, table, n):
        more = max(n - self.window - 1, 0)
        start = max(self.window + 1 - n, 0)
        table = F.pad(table, [0, 0, more, more])
        return table[:, start : start + 2 * n - 1]

    def to_columns(self, x):
        b, h, n, _ = x.shape
        x = F.pad(x, (0, 1)).reshape(b, h, 2 * n * n)
        return F.pad(x, (0, n - 1)).reshape(b, h, n + 1, 2 * n - 1)[..., :n, n - 1 :]

    def to_offsets(self, x):
        b, h, n, _ = x.shape
        x = F.pad(x, (0, n - 1)).reshape(b, h, n * (2 * n - 1))
        return F.pad(x, (n, 0)).reshape(b, h, n, 2 * n)[..., 1:]
"""
_HEAD = (
    "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n{ops}\n\n"
    "class Attention(nn.Module):\n    def __init__(self, window, width):\n        super().__init__()\n        self.window = window\n"
    "        self.keys = nn.Parameter(torch.randn(1, 2 * window + 1, width) * 0.1)\n"
)
_RUN = {
    "call": "made(window, q)(q, p)",
    "inputs": "q = torch.linspace(-1, 1, 60).sin().reshape(1, 2, 5, 6)\np = torch.linspace(0, 1, 50).cos().reshape(1, 2, 5, 5)\nwindow = 2",
    "grad": ("q", "p"),
}


def _module(scores: str, values: str) -> str:
    """An attention of its own, with these expressions for what keys and values add."""
    ops = "from . import ops\n" if "ops." in scores else ""
    return (
        _HEAD.format(ops=ops)
        + "        self.values = nn.Parameter(torch.randn(1, 2 * window + 1, width))\n\n"
        + "    def forward(self, q, p):\n        n = q.size(2)\n        keys = self.near(self.keys, n)\n"
        + f"        far = q @ keys.unsqueeze(0).transpose(2, 3)\n        scores = {scores}\n        weights = self.to_offsets(p)\n"
        + f"        y = p @ q\n        y = y + {values}\n        return scores, y\n"
        + _HELPERS
        + "\n\ndef made(window, x):\n    return Attention(window, x.shape[-1]).to(x.device)\n"
    )


_SCORES, _VALUES = "self.to_columns(far)", "torch.matmul(weights, self.near(self.values, n))"


class AttendInDiagonals(Rule):
    """Compute windowed relative positions in the diagonals that they fill.

    Embeddings of 2w + 1 relative positions are padded to 2l - 1, multiplied with all queries, and skewed into [l, l] by
    padding and reshaping; the same way back for the values. A TPU moves whole matrices for each of these steps, and
    almost all of them is zeros. Its own form multiplies with the 2w + 1 embeddings alone and selects the diagonals in
    passing. What the code computes is not told from its names: this rule evaluates it, helpers and all, on small
    arrays of several lengths and windows. Other devices keep the form they had; a TPU never evaluates what only that
    form needs.
    """

    code = "TPU002"
    title = "relative positions in diagonals"
    safety = Safety.CLOSE
    message = (
        "relative positions inside a window fill a few diagonals; padded and skewed, a TPU moves matrices full of zeros"
    )
    examples: ClassVar = (
        Example(
            before=_module(_SCORES, _VALUES),
            after=_module(
                f"ops.relative_scores(q, self.keys) if ops.wants_tpu_form(self.keys) else {_SCORES}",
                f"(ops.relative_values(p, self.values) if ops.wants_tpu_form(self.values) else {_VALUES})",
            ),
            **_RUN,  # type: ignore[arg-type]
        ),
    )
    untouched: ClassVar = (
        # one position further: not the band
        _module(_SCORES, "p @ q").replace("n - 1 :]", "n - 2 : -1]"),
        # a helper that does more than move numbers about
        _module(_SCORES, _VALUES).replace("        more = ", "        table.mul_(2)\n        more = "),
        # as many embeddings as the window is wide, but the window may be another later
        _module(_SCORES, _VALUES).replace("        n = q.size(2)", "        self.window = n = q.size(2)"),
        # the queries change between
        _module(_SCORES, "p @ q").replace("        scores =", "        q.mul_(2)\n        scores ="),
        # what the helper does is up to another class
        _module(_SCORES, _VALUES)
        + "\n\nclass Wider(Attention):\n    def near(self, table, n):\n        return table\n",
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for found in windowed_products(self.file, node):
            if self.host_reason(found.node) is None and not self._is_chosen(found.node):
                new = self.fill(
                    "__f(__x, __table) if __asks(__table) else __old",
                    f=f"ops.relative_{found.kind}",
                    asks="ops.wants_tpu_form",
                    x=found.tensor,
                    table=found.table,
                    old=found.node,
                )
                self.replace(found.node, new, alone=True)

    def _is_chosen(self, node: cst.CSTNode) -> bool:
        """Whether an expression is only evaluated where a TPU's form is not wanted."""
        return any(
            isinstance(a, cst.IfExp) and (dotted(getattr(a.test, "func", a.test)) or "").endswith("wants_tpu_form")
            for a in self.file.ancestors(node)
        )
