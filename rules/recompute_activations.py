"""What an activation gives is written for the backward pass, though it costs next to nothing to compute again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from porter.rule import Example, RedirectRule, Safety

_BEFORE = """import torch.nn.functional as F


def bent(x):
    return F.leaky_relu(x, 0.1) * 2
"""

_AFTER = """import torch.nn.functional as F
from . import ops


def bent(x):
    return ops.leaky_relu(x, 0.1) * 2
"""


class RecomputeActivations(RedirectRule):
    """Let a convolution remember what went into the activation before it.

    For the backward pass, XLA keeps both the input of a leaky ReLU (for its slope) and its result (for the weights of
    the convolution that follows). On a TPU, where memory is what a step waits for, a convolution of the package keeps
    the input alone and bends it again. Elsewhere this is `F.leaky_relu`.
    """

    code = "TPU003"
    title = "compute activations again"
    safety = Safety.EXACT
    message = "on a TPU a convolution computes the activation before it again instead of keeping its result in memory"
    fixes_hazard = False
    supports_double_backward = False
    targets: ClassVar[Mapping[str, str]] = {
        "torch.nn.functional.leaky_relu": "ops.leaky_relu",
    }
    examples: ClassVar = (
        Example(before=_BEFORE, after=_AFTER, call="bent(x)", inputs="x = torch.linspace(-2, 2, 9)", grad=("x",)),
    )
    untouched: ClassVar = (
        """
        import torch.nn.functional as F


        def straight(x):
            return F.relu(x)
        """,
        """
        def bent(ours, x):
            return ours.leaky_relu(x, 0.1)
        """,
    )
