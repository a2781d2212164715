"""What the kernel of residual layers computes, as a reference module, and running it."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from .. import residual as chains
from .graph import Traced
from .values import slopes

NAME = "residual"


class Residual(nn.Module):
    """A chain of residual layers, in plain PyTorch.

    Each of `steps` is one convolution or several, with a leaky ReLU before each.
    """

    def __init__(self, steps: Sequence[Sequence[nn.Module]], slope: float) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.ModuleList(step) for step in steps)
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T] -> [B, C, T]."""
        for step in self.steps:
            inner = x
            for convolution in step:  # type: ignore[attr-defined]
                inner = convolution(F.leaky_relu(inner, self.slope))
            x = x + inner
        return x


def references(traced: Traced, *_: Any) -> Iterator[tuple[Residual, list[tuple[fx.Node, ...]]]]:
    """The chains that a graph's layers and slope could be, and nodes that each could be given."""
    layers = [traced.layers[str(node.target)] for node in traced.layer_calls(nn.Conv1d)]
    slope = next(iter(slopes(traced)), None)
    if slope is None:
        return
    for depth in range(1, len(layers) + 1):
        if len(layers) % depth == 0:
            steps = [layers[i : i + depth] for i in range(0, len(layers), depth)]
            yield Residual(steps, slope), [(node,) for node in traced.tensors]


def run(reference: Residual, signal: torch.Tensor) -> list[torch.Tensor] | str:
    """The result, computed by a kernel; or, as text, why no kernel can compute it."""
    found = chains.residual_on_chip(signal, list(reference.steps), reference.slope)  # type: ignore[arg-type]
    return found if isinstance(found, str) else [found]
