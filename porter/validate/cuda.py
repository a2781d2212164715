"""CUDA for a reference run: in full float32, and the same each time."""

from __future__ import annotations

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
