"""Tensors between host and device."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from . import accelerator, mesh, xla

P = ParamSpec("P")
R = TypeVar("R")


def on_host(*values: object) -> bool:
    """Whether every tensor, and every device, is the CPU's; what is neither is on the host anyway."""
    devices = (value.device if isinstance(value, torch.Tensor) else value for value in values)
    return all(not isinstance(device, torch.device) or device.type == "cpu" for device in devices)


def to_host(x: torch.Tensor) -> torch.Tensor:
    """A detached copy on the CPU. From a device this is a host sync: for one-off initialisation only."""
    return x.detach().cpu() if not on_host(x) else x.detach().clone()


def content_id(tensor: torch.Tensor) -> tuple[int, int]:
    """Numbers that change when a tensor is written to, or gets other memory.

    A write through `.data` into the same memory, as `tensor.data.copy_(...)`, may leave them as they were; and on the
    CPU another tensor may have them as soon as that memory was free.
    """
    if tensor.device.type == "xla":
        return tensor._version, int(xla.require()._XLAC._xla_get_tensor_id(tensor))
    return tensor._version, tensor.data_ptr()


def on_device(device: torch.device | str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` so that the tensors it makes are made on `device`."""
    if torch.device(device).type == "cpu" and not torch._C._len_torch_function_stack():  # no other device by default
        return function(*args, **kwargs)  # without the context, which torch.compile cannot trace
    with torch.device(device):
        return function(*args, **kwargs)


def constant(
    tensor: torch.Tensor, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A host tensor as data on `device` (default: `default_device()`), cast to `dtype` before the upload.

    It is uploaded at once and is a parameter of every graph that reads it, whatever ran before; so it can be
    cached.
    """
    target = accelerator.default_device() if device is None else torch.device(device)
    if torch.compiler.is_compiling():  # torch.compile traces none of what follows, and needs none of it
        return tensor.detach().to(device=target, dtype=dtype or tensor.dtype)
    # A cached constant must not be an inference tensor: training may be the next to read it.
    with torch.inference_mode(False), torch.no_grad():
        source = tensor.detach().to(dtype=dtype or tensor.dtype)
        if source.is_inference():
            source = source.clone()
        if target.type != "xla" or not on_host(source):
            return source.to(target)
        return mesh.sent(source, target)


def computed_on_host(
    factory: Callable[..., torch.Tensor], *args: Any, device: torch.device | str | None = None, **kwargs: Any
) -> torch.Tensor:
    """`factory(*args, device=device, **kwargs)` in the arithmetic of the host, for `torch.linspace` and its kin.

    What is meant for XLA is made on the CPU and uploaded, as `constant` does.
    """
    if device is None or torch.device(device).type != "xla":
        return factory(*args, device=device, **kwargs)
    return constant(factory(*args, device="cpu", **kwargs), device)
