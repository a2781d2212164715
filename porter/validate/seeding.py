"""Seeding every generator of a process."""

from __future__ import annotations

import random
import sys

import numpy
import torch


def seed_all(seed: int) -> None:
    """Seed every generator; what is not recorded then still starts alike on both sides."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if "torch_xla" in sys.modules:
        import torch_xla

        torch_xla.manual_seed(seed)  # type: ignore[no-untyped-call]
