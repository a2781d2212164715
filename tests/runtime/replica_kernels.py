"""Each kernel on several devices of one process, against the CPU: prints how near values and gradients are."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from porter.runtime import ops, utils
from porter.validate.kinks import RecordKinks, ReplayKinks

from .graphs import decibels
from .test_attention import Attention
from .test_attention import given as attention_inputs
from .test_features import Chain as Features
from .test_feed_forward import Forward
from .test_gated import Stack
from .test_residual import Chain

BATCH = 4


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def doubled(value: torch.Tensor) -> torch.Tensor:
    return torch.cat([value, value.flip(0)])


def attention(masks: int) -> tuple[nn.Module, list[torch.Tensor]]:
    given = attention_inputs(8, 8)
    mask = torch.ones(1, 1, 8, 8).tril() if masks == 0 else doubled(given["mask"])
    return Attention(6, window=2), [*(doubled(given[name]) for name in "qkv"), mask]


class Joined(Features):
    """All results in one."""

    def forward(self, x: torch.Tensor) -> Any:
        return torch.cat([result.flatten(1) for result in super().forward(x)], 1)


MADE: dict[str, Callable[[], tuple[nn.Module, list[torch.Tensor]]]] = {
    "attention": lambda: attention(1),
    "attention with one mask": lambda: attention(0),
    "features": lambda: (Joined(), [noise(BATCH, 1, 100, 2)]),
    "feed forward": lambda: (Forward(3), [noise(BATCH, 6, 12), torch.ones(BATCH, 1, 12)]),
    "gated": lambda: (Stack(8, 3), [noise(BATCH, 8, 16), torch.ones(BATCH, 1, 16)]),
    "residual": lambda: (Chain(128), [noise(BATCH, 128, 8)]),
}


def run(made: nn.Module, inputs: list[torch.Tensor], device: torch.device | None) -> list[torch.Tensor]:
    """The result and all gradients, of a copy of a module."""
    made = copy.deepcopy(made)
    leaves = [value.clone() for value in inputs]
    if device is not None:
        made = utils.replicate(made.to(device))
        leaves = [utils.upload(value) if len(value) == BATCH else value.to(device) for value in leaves]
    for leaf in leaves[: max(1, len(leaves) - 1)]:  # the mask is last
        leaf.requires_grad_()
    result = made(*leaves)
    result.sin().sum().backward()
    utils.mark_step()
    assert device is None or not getattr(made, "left", 0), "no kernel ran"
    found = [result, *(leaf.grad for leaf in (*leaves, *made.parameters()) if leaf.grad is not None)]
    return [value.detach().cpu() for value in found]


def main() -> None:
    utils.start_replicas()
    nearest: dict[str, Any] = {}
    for name, make in MADE.items():
        torch.manual_seed(0)
        made, inputs = make()
        with RecordKinks() as recorded:
            wanted = run(made, inputs, None)
        with ops.device_forms(tpu=True), ReplayKinks(recorded.masks):
            found = run(made, inputs, utils.get_xla_device())
        assert len(found) == len(wanted)
        nearest[name] = min(decibels(*pair) for pair in zip(found, wanted, strict=True))
    json.dump({"devices": utils.devices(), "nearest": nearest}, sys.stdout)


if __name__ == "__main__":
    main()
