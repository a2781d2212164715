"""torch_xla's modules, imported when they are first needed, and the seed of its device."""

import importlib
import sys
from typing import Any

import torch

_MISSING = (
    'torch_xla is not usable here: install it with `pip install "torch==2.9.0" "torch_xla==2.9.0"`, '
    "or run on the CPU by setting SOVITS_PORT_DEVICE=cpu."
)
_pending_seed: int | None = None  # for a device that the process has not touched yet


def require() -> Any:
    """torch_xla. RuntimeError, with what to type, where it cannot be imported."""
    try:
        return importlib.import_module("torch_xla")
    except (ImportError, OSError) as error:
        raise RuntimeError(_MISSING) from error


def live() -> Any:
    """torch_xla if this process has touched an XLA device, else None; seeds the device when first seen."""
    xla = sys.modules.get("torch_xla")
    native = getattr(xla, "_XLAC", None)
    if native is None:
        return None
    started = getattr(native, "_xla_runtime_is_initialized", None)
    if started is not None and not started():
        return None
    seed_device()
    return xla


def model() -> Any:
    """torch_xla's module of devices, steps and reductions."""
    return importlib.import_module("torch_xla.core.xla_model")


def runtime() -> Any:
    """torch_xla's module of processes and their devices."""
    return importlib.import_module("torch_xla.runtime")


def spmd() -> Any:
    """torch_xla's module of meshes and sharding."""
    return importlib.import_module("torch_xla.distributed.spmd")


def manual_seed(seed: int) -> None:
    """Seed torch, and the XLA device: at once if the process has touched it, else when it first does."""
    global _pending_seed
    torch.manual_seed(seed)
    _pending_seed = seed
    live()


def seed_device() -> None:
    """Seed the device with what `manual_seed` was given before the process touched it."""
    global _pending_seed
    if _pending_seed is not None:
        seed, _pending_seed = _pending_seed, None
        model().set_rng_state(seed)
