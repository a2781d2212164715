"""Settings for all tests."""

from __future__ import annotations

import importlib.util
import os

# Autograd counts its device queues at the first backward pass; XLA has to be there by then.
os.environ.setdefault("PJRT_DEVICE", "CPU")
if importlib.util.find_spec("torch_xla") is not None:
    import torch_xla

    torch_xla.device()
