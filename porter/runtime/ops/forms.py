"""Which of an operation's two forms runs: torch's own on the CPU, the one that lowers to XLA elsewhere."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

from .. import utils

_forced: ContextVar[bool] = ContextVar("device_forms", default=False)


@contextlib.contextmanager
def device_forms() -> Iterator[None]:
    """Use the XLA forms on CPU tensors too, so that both can be compared without an XLA device."""
    token = _forced.set(True)
    try:
        yield
    finally:
        _forced.reset(token)


def wants_device_form(*tensors: torch.Tensor) -> bool:
    """Whether an operation on these tensors has to take its XLA form."""
    return _forced.get() or not utils.on_host(*tensors)
