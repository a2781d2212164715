"""Which of an operation's forms runs: torch's own on the CPU, one that lowers to XLA elsewhere, a TPU's own on a TPU.

A TPU's form computes the same in a layout that fills its tiles; on other devices that layout costs more than it saves.
`SOVITS_PORT_FORMS` may ask for one on any device ("tpu"), so that all can be compared and compiled without a TPU.
"""

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

import torch

from .. import utils

LANES = 128  # numbers side by side in a TPU's registers: what the innermost axis should fill
_CHOICES = ("auto", "tpu")

_forced: ContextVar[str] = ContextVar("forms", default="")


@contextlib.contextmanager
def device_forms(*, tpu: bool = False) -> Iterator[None]:
    """Use the XLA forms (or a TPU's) on every device, so that they can be compared without that device."""
    token = _forced.set("tpu" if tpu else "xla")
    try:
        yield
    finally:
        _forced.reset(token)


def wants_device_form(*tensors: torch.Tensor) -> bool:
    """Whether an operation on these tensors has to take its XLA form."""
    return bool(_asked()) or not utils.on_host(*tensors)


def wants_tpu_form(*tensors: torch.Tensor) -> bool:
    """Whether an operation on these tensors takes the form made for a TPU, when the graph is traced."""
    asked = _asked()
    return asked == "tpu" if asked else not utils.on_host(*tensors) and utils.on_tpu()


def _asked() -> str:
    """The form that was asked for; "" leaves it to the device. ValueError for an unknown one."""
    if _forced.get():
        return _forced.get()
    asked = os.environ.get("SOVITS_PORT_FORMS", "auto").lower()
    if asked not in _CHOICES:
        raise ValueError(f"SOVITS_PORT_FORMS is {asked!r}; it may be {' or '.join(_CHOICES)}")
    return "tpu" if asked == "tpu" else ""
