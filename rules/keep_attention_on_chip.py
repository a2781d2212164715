"""An attention writes a weight for every pair of positions to memory, and a TPU waits for that."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.attention import attention_scores
from porter.rule import Example, Rule, Safety

_BEFORE = """import math
import torch
from torch import nn
import torch.nn.functional as F


class Look(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.forget = nn.Dropout(share)
        self.seen = None

    def forward(self, q, k, v, mask=None):
        near = torch.matmul(q / math.sqrt(q.size(-1)), k.transpose(-2, -1))
        if mask is not None:
            near = near.masked_fill(mask == 0, -1e4)
        near = self.forget(F.softmax(near, dim=-1))
        self.seen = near
        return near.matmul(v)
"""

_AFTER = _BEFORE.replace(
    "import torch.nn.functional as F\n", "import torch.nn.functional as F\nfrom . import ops\n"
).replace("near = torch.matmul(", "near = ops.scores(")


class KeepAttentionOnChip(Rule):
    """Run an attention in one kernel.

    Scores, their mask, their softmax and its dropout are arrays with a number for each pair of positions, and each is
    written, read, and read again in the backward pass. On a TPU the scores are not computed where they are asked for:
    they wait, and so do their softmax and what a dropout leaves of it, until values are summed up by them. Then a kernel
    (written in Pallas, so jax has to be installed) computes all of it in the chip's own memory, one head at a time, and
    the backward pass computes it again. Diagonals that relative positions add, and those that are read of the weights,
    go along. Whoever does anything else with scores or weights, or looks at them later, sees the tensors that they
    always were. In functions that write to tensors in place nothing waits.
    """

    code = "TPU007"
    title = "attention in one kernel"
    safety = Safety.CLOSE
    message = "on a TPU these scores stay on the chip until values are summed up by them, and are not written and read"
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Look(0.0)(q, k, v), Look(0.0)(q, k, v, mask), Look(0.5).eval()(q, v, k)",
            inputs="""
                q, k, v = torch.linspace(-3, 3, 180).sin().reshape(3, 2, 2, 5, 3)
                mask = (torch.arange(5) < torch.tensor([[[[5]]], [[[3]]]])).float()
                """,
            grad=("q", "k", "v"),
        ),
        Example(
            before=_BEFORE.replace("self.seen = None", "self.weigh = nn.Softmax(dim=2)")
            .replace("torch.matmul(q / math.sqrt(q.size(-1))", "torch.bmm(q")
            .replace("        if mask", "        near = near / 1.5\n        if mask")
            .replace("F.softmax(near, dim=-1)", "self.weigh(near)")
            .replace("near.matmul(v)", "torch.bmm(near, v)"),
            after=_AFTER.replace("self.seen = None", "self.weigh = nn.Softmax(dim=2)")
            .replace("ops.scores(q / math.sqrt(q.size(-1))", "ops.scores(q")
            .replace("        if mask", "        near = near / 1.5\n        if mask")
            .replace("F.softmax(near, dim=-1)", "self.weigh(near)")
            .replace("near.matmul(v)", "torch.bmm(near, v)"),
            call="Look(0.0)(q, k, v), Look(0.0)(q, k, v, mask)",
            inputs="""
                q, k, v = torch.linspace(-3, 3, 90).sin().reshape(3, 2, 5, 3)
                mask = (torch.arange(5) < torch.tensor([[[5]], [[3]]])).float()
                """,
            grad=("q", "k", "v"),
        ),
        Example(
            before="""
                import torch


                def look(q, k, v):
                    return torch.softmax(q @ k.mT * 0.5, -1) @ v
                """,
            after="""
                import torch
                from . import ops


                def look(q, k, v):
                    return torch.softmax(ops.scores(q, k.mT) * 0.5, -1) @ v
                """,
            call="look(q, k, v)",
            inputs="q, k, v = torch.linspace(-3, 3, 180).sin().reshape(3, 2, 2, 5, 3)",
            grad=("q", "k", "v"),
        ),
    )
    untouched: ClassVar = (
        # a softmax that weighs nothing, and one on the right
        """
        import torch


        def near(q, k, v):
            return torch.softmax(q @ k.mT, -1), q @ v
        """,
        """
        import torch


        def near(q, k, v):
            return v @ torch.softmax(q @ k.mT, -1)
        """,
        # written to in place, here or there
        _BEFORE.replace("near.masked_fill(", "near.masked_fill_("),
        _BEFORE.replace("        self.seen", "        q *= 2\n        self.seen"),
        _BEFORE.replace("        self.seen", "        q[:, 0] = 2\n        self.seen"),
        _BEFORE.replace("        self.seen", "        q[:, 0], k[:, 0] = 2, 3\n        self.seen"),
        _BEFORE.replace("        self.seen", "        F.relu(q, True)\n        self.seen"),
        # somebody wants a tensor, or its gradient
        _BEFORE.replace("        self.seen", "        assert torch.is_tensor(near)\n        self.seen"),
        _BEFORE.replace("        self.seen", "        near.retain_grad()\n        self.seen"),
        """
        import torch


        class Look(torch.autograd.Function):
            @staticmethod
            def forward(ctx, q, k, v):
                w = torch.softmax(q @ k, -1)
                ctx.save_for_backward(w)
                return w @ v
        """,
        # products of something else
        """
        def look(torch, q, k, v):
            return torch.softmax(torch.matmul(q, k), -1)(torch.matmul(q, v))
        """,
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for found in attention_scores(self.file, node):
            if self.host_reason(found.node) is None:
                new = self.fill("__f(__left, __right)", f="ops.scores", left=found.left, right=found.right)
                self.replace(found.node, new, alone=True)
