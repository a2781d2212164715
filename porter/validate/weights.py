"""Weights that make every part of a model count.

What the reference harness does to upstream, so that it runs on a CPU, on its own, and shows differences:

- Parameters that upstream initialises to zero (the last convolution of a flow, for one) get small noise: a
  zero weight would stop gradients there, and hide whatever comes before it.
- Orthogonal matrices are stretched: their log-determinant is zero, and what is left of it rounding.
- Codebooks are marked as initialised (buffers named `inited`) and get random entries: upstream would run
  k-means on the first batch, and asks the process group for its rank to do so, which needs a process group.
- Upstream's `torch.cuda.amp.autocast(enabled=False)` only warns on a machine without CUDA.
- `dist.get_rank()` is asked for without a guard when codebook entries expire, which only a codebook in
  training mode does; with `freeze_quantizer`, as upstream trains, it never is.
"""

from __future__ import annotations

import torch
from torch import nn

_SMALL = 0.02  # standard deviation, about that of upstream's own `init_weights`
_STRETCH = 1.25
_CODE = 0.5  # standard deviation of codebook entries, about that of what they quantize
_USED = 10.0  # how often each entry is said to have been used; below 2, upstream lets it expire


@torch.no_grad()
def prepare(model: nn.Module, seed: int) -> None:
    """Fill zero parameters and mark codebooks as initialised, in place and the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if "inited" in module._buffers:
            _fill_codebook(module, generator)
    for parameter in model.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * _SMALL)
        elif _is_orthogonal(parameter):
            parameter.mul_(_STRETCH)


def _is_orthogonal(parameter: torch.Tensor) -> bool:
    if parameter.dim() != 2 or parameter.shape[0] != parameter.shape[1] or not parameter.is_floating_point():
        return False
    return torch.allclose(parameter @ parameter.mT, torch.eye(len(parameter)), atol=1e-4)


def _fill_codebook(module: nn.Module, generator: torch.Generator) -> None:
    buffers = dict(module.named_buffers(recurse=False))
    buffers["inited"].fill_(1)
    embed, size, average = (buffers.get(name) for name in ("embed", "cluster_size", "embed_avg"))
    if embed is None:
        return
    embed.copy_(torch.randn(embed.shape, generator=generator) * _CODE)
    if size is not None:
        size.fill_(_USED)
    if average is not None:
        average.copy_(embed if size is None else embed * size[:, None])
