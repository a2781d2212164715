"""Kernels in place of forwards: a forward's torch.fx graph is compared with what the kernels compute."""

from .fuse import Fusion, fused, fusions

__all__ = ["Fusion", "fused", "fusions"]
