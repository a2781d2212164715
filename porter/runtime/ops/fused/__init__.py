"""Forwards that kernels for a TPU may stand for, where their graph is what those compute."""

from .fuse import Fusion, fused, fusions

__all__ = ["Fusion", "fused", "fusions"]
