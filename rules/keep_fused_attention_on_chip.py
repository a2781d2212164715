"""PyTorch's fused attention is none on XLA: it is taken apart, and its scores go through memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from porter.rule import Example, RedirectRule, Safety

_BEFORE = """import torch
import torch.nn.functional as F


def look(q, k, v, there=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=there, dropout_p=0.0)
"""

_AFTER = """import torch
import torch.nn.functional as F
from . import ops


def look(q, k, v, there=None):
    return ops.scaled_dot_product_attention(q, k, v, attn_mask=there, dropout_p=0.0)
"""


class KeepFusedAttentionOnChip(RedirectRule):
    """Run PyTorch's fused attention in one kernel on a TPU as well.

    What is one kernel with CUDA is a product, a softmax and a product to XLA: scores are written, read, and kept for the
    backward pass. On a TPU the same kernel as for attentions that are written out computes it, one head at a time, where
    the mask is of booleans and no dropout is asked for. Elsewhere this is torch's own.
    """

    code = "TPU012"
    title = "fused attention in one kernel"
    safety = Safety.CLOSE
    message = "on a TPU this attention runs in one kernel, and its scores are not written and read"
    fixes_hazard = False
    supports_double_backward = False
    targets: ClassVar[Mapping[str, str]] = {
        "torch.nn.functional.scaled_dot_product_attention": "ops.scaled_dot_product_attention",
    }
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="look(q, k, v), look(q, k, v, there), look(k, q, v, there[0, 0]), look(q[0], k[0], v[0], there[1])",
            inputs="""
                q, k, v = torch.linspace(-3, 3, 180).sin().reshape(3, 2, 2, 5, 3)
                there = torch.arange(5) < torch.tensor([[[[5]]], [[[3]]]])
                """,
            grad=("q", "k", "v"),
        ),
        Example(
            before="""
                from torch.nn.functional import scaled_dot_product_attention as look


                def after(q, k, v):
                    return look(q, k, v, is_causal=True, scale=0.3)
                """,
            after="""
                from .ops import scaled_dot_product_attention as look


                def after(q, k, v):
                    return look(q, k, v, is_causal=True, scale=0.3)
                """,
            call="after(q, k, v)",
            inputs="q, k, v = torch.linspace(-3, 3, 180).sin().reshape(3, 2, 2, 5, 3)",
            grad=("q", "k", "v"),
        ),
    )
    untouched: ClassVar = (
        """
        def look(F, q, k, v):
            return F.scaled_dot_product_attention(q, k, v)
        """,
        """
        def scaled_dot_product_attention(q, k, v):
            return q @ k @ v


        def look(q, k, v):
            return scaled_dot_product_attention(q, k, v)
        """,
    )
