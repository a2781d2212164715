"""What the kernel of gated layers computes, as a reference module, and running it."""

import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx, nn

from .. import gated as chains
from .graph import Traced

NAME = "gated"


class Gated(nn.Module):
    """A chain of gated layers with skip connections (a WaveNet's), in plain PyTorch.

    The last of `passes` has no half that goes to the signal. The total may start from zeros, whose dtype it has then.
    """

    def __init__(
        self, gates: Sequence[nn.Module], passes: Sequence[nn.Module], width: int, *, from_zeros: bool
    ) -> None:
        super().__init__()
        self.gates, self.passes, self.width = nn.ModuleList(gates), nn.ModuleList(passes), width
        self.from_zeros = from_zeros

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, condition: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, C, T], [B, 1, T] and [B, layers * 2 * C, 1] -> [B, C, T]."""
        width, parts = self.width, [torch.zeros_like(x)] if self.from_zeros else []
        for i, (gate, onward) in enumerate(zip(self.gates, self.passes, strict=True)):
            inner = gate(x)
            if condition is not None:
                inner = inner + condition[:, 2 * width * i : 2 * width * (i + 1)]
            inner = onward(torch.tanh(inner[:, :width]) * torch.sigmoid(inner[:, width:]))
            if i < len(self.gates) - 1:
                x = x + inner[:, :width]
                x = x if mask is None else x * mask
                inner = inner[:, width:]
            parts.append(inner)
        total = functools.reduce(operator.add, parts)
        return total if mask is None else total * mask


def references(traced: Traced, *_: Any) -> Iterator[tuple[Gated, list[tuple[fx.Node, ...]]]]:
    """The chains that a graph's layers could be, and nodes that each could be given."""
    calls = traced.layer_calls(nn.Conv1d)
    for others in range(2):  # one layer may make the condition
        own = calls[others:]
        if len(own) < 2 or len(own) % 2 or not (signal := own[0].all_input_nodes):
            continue
        gates, passes = ([traced.layers[str(node.target)] for node in own[i::2]] for i in range(2))
        masks = [node for node in traced.tensors if node not in signal]
        given = [*_masked(signal, masks, [*calls[:others], *masks]), tuple(signal)]
        width = int(gates[0].out_channels) // 2  # type: ignore[arg-type]
        for from_zeros in (True, False):
            yield Gated(gates, passes, width, from_zeros=from_zeros), given


def _masked(
    signal: Sequence[fx.Node], masks: Sequence[fx.Node], conditions: Sequence[fx.Node]
) -> Iterator[tuple[fx.Node, ...]]:
    """A signal with each mask, and with that and each condition."""
    for mask in masks:
        yield (*signal, mask)
        yield from ((*signal, mask, condition) for condition in conditions if condition is not mask)


def run(
    reference: Gated,
    signal: torch.Tensor,
    mask: torch.Tensor | None = None,
    condition: torch.Tensor | None = None,
) -> list[torch.Tensor] | str:
    """The result, computed by a kernel; or, as text, why no kernel can compute it."""
    if not reference.from_zeros and torch.is_autocast_enabled(signal.device.type):
        return "under autocast its total has the dtype of products"
    layers = list(reference.gates), list(reference.passes)
    everywhere = signal.new_ones(len(signal), 1, signal.shape[-1]) if mask is None else mask
    total = chains.gated_on_chip(signal, *layers, reference.width, condition, everywhere)
    return total if isinstance(total, str) else [total if mask is None else total * mask]
