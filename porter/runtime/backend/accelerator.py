"""The device of this process, what kind it is, and why a TPU that is here is not used."""

import contextlib
import importlib
import importlib.util
import os
import warnings

import torch

from .. import chips
from . import choice, xla

_PJRT_DEVICE = os.environ.get("PJRT_DEVICE", "").upper()  # as the user set it: torch_xla sets it too
_kind = ""  # of TPU, once it was told
_looked = False  # whether it was told that a TPU is not used


def get_xla_device(index: int | None = None) -> torch.device:
    """The XLA device (the CPU where the CPU was asked for). RuntimeError if torch_xla cannot be imported."""
    if choice.wanted() == "cpu":
        return torch.device("cpu")
    module = xla.require()
    if hasattr(module, "device"):
        device = module.device() if index is None else module.device(index)
    else:
        device = xla.model().xla_device(index)
    xla.seed_device()
    return torch.device(device)


def default_device() -> torch.device:
    """The XLA device where one can be had, else the CPU. Never raises; says once where a TPU is not used, and why."""
    global _looked
    error: Exception | None = None
    try:
        device = get_xla_device()
    except Exception as caught:  # whatever a broken installation or a missing device raises
        device, error = torch.device("cpu"), caught
    if not _looked:
        _looked = True
        reason = ""
        with contextlib.suppress(ValueError):  # an unknown SOVITS_PORT_DEVICE, for one
            reason = why_unused(error, told=importlib.util.find_spec("torch_xla") is not None)
        if reason:
            warnings.warn(f"{reason}; this process runs on the CPU", stacklevel=2)
    return device


def on_tpu() -> bool:
    """Whether the XLA device of this process is a TPU."""
    return choice.wanted() == "xla" and xla.runtime().device_type() == "TPU"


def tpu_kind() -> str:
    """The kind of TPU that this process has, as "v5e" or "v6e"; "" where it cannot be told."""
    global _kind
    if not _kind:
        told = os.environ.get("TPU_ACCELERATOR_TYPE", "")
        if not told:
            try:  # a metadata server is asked: once, so that no later step gets another answer
                told = importlib.import_module("torch_xla._internal.tpu").get_tpu_env()["ACCELERATOR_TYPE"]
            except Exception:  # whatever that, or its absence, makes of it
                return ""
        name = told.lower().partition("-")[0]
        _kind = {"v5litepod": "v5e"}.get(name, name)
    return _kind


def why_unused(error: Exception | None, *, told: bool = False) -> str:
    """Why a TPU is not used that is here, or was asked for, in a clause; "" where nothing is amiss.

    `error` is what came of asking for the device; `told`: an error is amiss without a TPU, too.
    """
    if choice.wanted() == "cpu" or _PJRT_DEVICE.startswith("CPU"):
        return ""
    found = chips.tpu_chips()
    if error is not None:
        wanted = found or told or _PJRT_DEVICE.startswith("TPU")
        return f"{_chips_here(found)}no XLA device can be had: {_reason(error)}" if wanted else ""
    if found and not _PJRT_DEVICE and not on_tpu():
        return f"{_chips_here(found)}torch_xla does not find libtpu: pip install 'torch_xla[tpu,pallas]'"
    return ""


def _chips_here(found: int) -> str:
    """What this machine has, before a clause that says what is amiss with it; "" for no chip."""
    return f"this machine has {found} TPU chip{'s' if found > 1 else ''}, but " if found else ""


def _reason(error: BaseException) -> str:
    """The first line of an error, or of the one behind it."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
