"""CUDA for a reference run: in full float32, and the same each time; and upstream's side of a run without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch


def exact_cuda() -> tuple[torch.device, str]:
    """The first CUDA device, set up for exact and repeatable results, and its name."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)  # some operators have no such algorithm
    # Only attention in plain operators draws its dropout where it can be recorded.
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device("cuda", 0), torch.cuda.get_device_name(0)


@contextmanager
def cuda_is_the_host() -> Iterator[None]:
    """Let `cuda()` of tensors and modules move nothing: code that calls it always runs on the host as well."""
    with mock.patch.object(torch.Tensor, "cuda", _stay), mock.patch.object(torch.nn.Module, "cuda", _stay):
        yield


def _stay(moved: Any, *_given: Any, **_named: Any) -> Any:
    """What would have been moved."""
    return moved
