"""Settings for all tests."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

# Autograd counts its device queues at the first backward pass; XLA has to be there by then.
os.environ.setdefault("PJRT_DEVICE", "CPU")
if importlib.util.find_spec("torch_xla") is not None:
    import torch_xla

    torch_xla.device()


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    """Modules start with the same weights whatever ran before."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
