"""What the kernel of convolutions with all their results computes, as a reference module, and running it."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from .. import features as chains
from .graph import Traced
from .values import slopes

NAME = "features"


class Features(nn.Module):
    """Convolutions, a leaky ReLU after each, all of whose results are wanted, in plain PyTorch."""

    def __init__(self, layers: Sequence[nn.Module], slope: float) -> None:
        super().__init__()
        self.layers, self.slope = nn.ModuleList(layers), slope

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[B, C, T], or [B, C, T, columns], -> one of these a layer."""
        found = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), self.slope)
            found.append(x)
        return found


def references(traced: Traced, *_: Any) -> Iterator[tuple[Features, list[tuple[fx.Node, ...]]]]:
    """The chain that a graph's layers and slope could be, and nodes that it could be given."""
    calls = traced.layer_calls(nn.Conv1d, nn.Conv2d)
    known = slopes(traced)
    calls = calls[: len(known)]
    if calls and known and (signal := calls[0].all_input_nodes):
        yield Features([traced.layers[str(node.target)] for node in calls], known[0]), [tuple(signal)]


def run(reference: Features, signal: torch.Tensor) -> list[torch.Tensor] | str:
    """The results, computed by kernels; or why none can."""
    return chains.features_on_chip(signal, list(reference.layers), reference.slope)
