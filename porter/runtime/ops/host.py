"""torch's own on the host, for what no XLA form computes and for what torch turns down."""

from collections.abc import Callable
from typing import Any

import torch


def on_the_host(function: Callable[..., torch.Tensor], *given: Any) -> torch.Tensor:
    """`function(*given)` computed of host copies; the result, and gradients, go back to where the tensors are.

    Given what torch raises for, PyTorch/XLA may compute something else, or end the process.
    """
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    copies = [value.cpu() if isinstance(value, torch.Tensor) else value for value in given]
    return function(*copies).to(tensors[0].device)
