"""What the kernel of two convolutions computes, as a reference module, and running it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from .. import feed_forward as chains
from .graph import Traced
from .values import arguments_of, operation_name

NAME = "feed_forward"


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between, and what else may be there, in plain PyTorch."""

    def __init__(self, first: nn.Module, second: nn.Module, p: float, sides: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second, self.p, self.sides = first, second, p, sides

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """[B, C, T] and [B, 1, T] -> [B, C (out), T]."""
        inner = F.dropout(F.relu(self.first(x)), self.p)
        inner = inner if mask is None else inner * mask
        result: torch.Tensor = self.second(F.pad(inner, self.sides))
        return result


def references(traced: Traced, *_: Any) -> Iterator[tuple[FeedForward, list[tuple[fx.Node, ...]]]]:
    """The pairs that a graph's layers could be, and nodes that each could be given."""
    for first, second in pairwise(traced.layer_calls(nn.Conv1d)):
        p, sides, masks = _between(traced, first, second)
        signal = tuple(first.all_input_nodes)
        own = [traced.layers[str(node.target)] for node in (first, second)]
        if len(signal) == 1 and all(isinstance(side, int) for side in sides):
            yield FeedForward(own[0], own[1], p, sides), [*((*signal, mask) for mask in masks), signal]


def _between(traced: Traced, first: fx.Node, second: fx.Node) -> tuple[float, tuple[Any, Any], list[fx.Node]]:
    """What a dropout and a padding between two layers take, and nodes that could be masks there."""
    p, sides, masks = 0.0, (0, 0), list[fx.Node]()
    after = {first}  # what depends on the first layer
    for node in traced.nodes[traced.nodes.index(first) : traced.nodes.index(second)]:
        name = operation_name(node)
        if after.intersection(node.all_input_nodes):
            after.add(node)
        p = _dropped(traced, node, p)
        if name == "pad":
            pad = arguments_of(node).get("pad")
            sides = (pad[0], pad[1]) if isinstance(pad, (list, tuple)) and len(pad) > 1 else sides
        elif name == "mul":
            masks += [one for one in node.all_input_nodes if one not in after]
    return p, sides, masks


def _dropped(traced: Traced, node: fx.Node, p: float) -> float:
    """The share that a node drops, in training; `p` where it drops nothing."""
    layer = traced.layer(node)
    if isinstance(layer, nn.Dropout):
        return float(layer.p) if layer.training else p
    known = arguments_of(node) if operation_name(node) == "dropout" else {}
    return float(known.get("p", 0)) if known.get("training") is True else p


def run(reference: FeedForward, signal: torch.Tensor, mask: torch.Tensor | None = None) -> list[torch.Tensor] | str:
    """The result, computed by a kernel; or, as text, why no kernel can compute it."""
    found = chains.feed_forward_on_chip(
        signal, reference.first, reference.second, mask=mask, p=reference.p, sides=reference.sides
    )
    return found if isinstance(found, str) else [found]
