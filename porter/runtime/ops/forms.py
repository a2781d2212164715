"""Which of an operation's forms runs: torch's own on the CPU, one that lowers to XLA elsewhere, a TPU's own on a TPU.

A TPU's form computes the same in a layout that fills its tiles; on other devices that layout costs more than it saves.
`SOVITS_PORT_FORMS` may ask for one on any device, so that all can be compared and compiled without a TPU: "tpu", or,
with kernels that no other device can run, "tpu:v5e" and so on. `SOVITS_PORT_KERNELS=off` keeps all kernels away.
"""

import contextlib
import os
from collections.abc import Iterator

import torch

from .. import utils

LANES = 128  # numbers side by side in a TPU's registers: what the innermost axis should fill
_MIB = 1 << 20
# Bytes of VMEM that a core of each kind of TPU has: jax/_src/pallas/mosaic/tpu_info.py of jax 0.10.2.
_VMEM = {"v4": 16 * _MIB, "v5e": 128 * _MIB, "v5p": 64 * _MIB, "v6e": 128 * _MIB}
CHIPS = tuple(_VMEM)
_CHOICES = ("auto", "tpu", *(f"tpu:{chip}" for chip in _VMEM))

_KERNELS = ("auto", "off")

# What `device_forms` asks for, in the whole process. torch.compile follows no ContextVar.
_forced = ""
_as_tpu = False


@contextlib.contextmanager
def device_forms(*, tpu: bool = False, interpret_as_tpu: bool = False) -> Iterator[None]:
    """Use the XLA forms (or a TPU's) on every device, so that they can be compared without that device.

    `interpret_as_tpu`: kernels on the CPU are run by Pallas's interpreter of a TPU, which finds races, reads out of
    bounds and memory that was never written.
    """
    global _forced, _as_tpu
    before = _forced, _as_tpu
    _forced, _as_tpu = "tpu" if tpu else "xla", interpret_as_tpu
    try:
        yield
    finally:
        _forced, _as_tpu = before


def wants_device_form(*tensors: torch.Tensor) -> bool:
    """Whether an operation on these tensors has to take its XLA form."""
    return bool(_asked()) or not utils.on_host(*tensors)


def wants_tpu_form(*tensors: torch.Tensor) -> bool:
    """Whether an operation on these tensors takes the form made for a TPU, when the graph is traced."""
    asked = _asked()
    return asked.startswith("tpu") if asked else not utils.on_host(*tensors) and utils.on_tpu()


def chip() -> str:
    """The kind of TPU that graphs are traced for, such as "v5e"; "" where it is none, and kernels are interpreted."""
    asked = _asked()
    return asked.partition(":")[2] or (utils.tpu_kind() if utils.on_tpu() else "")


def kernels_off() -> bool:
    """Whether the user wants no kernels. ValueError for an unknown SOVITS_PORT_KERNELS."""
    asked = os.environ.get("SOVITS_PORT_KERNELS", "auto").lower()
    if asked not in _KERNELS:
        raise ValueError(f"SOVITS_PORT_KERNELS is {asked!r}; it may be {' or '.join(_KERNELS)}")
    return asked == "off"


def as_tpu() -> bool:
    """Whether Pallas's interpreter of a TPU is to run kernels on the CPU."""
    return _as_tpu


def kernel_memory() -> int:
    """Bytes of VMEM that kernels may count on; 0 on a TPU of an unknown kind."""
    return _VMEM.get(chip(), 0) if chip() or utils.on_tpu() else _VMEM["v5e"]


def _asked() -> str:
    """The form that was asked for; "" leaves it to the device. ValueError for an unknown one."""
    if _forced:
        return _forced
    asked = os.environ.get("SOVITS_PORT_FORMS", "auto").lower()
    if asked not in _CHOICES:
        raise ValueError(f"SOVITS_PORT_FORMS is {asked!r}; it may be {' or '.join(_CHOICES)}")
    return "" if asked == "auto" else asked
