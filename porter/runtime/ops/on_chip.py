"""When layers can run in a kernel that keeps their signals on the chip of a TPU, and how it runs."""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from .. import utils
from . import forms
from .weight_norm import computed_weight, has_plain_weight, stored_dtype

_DTYPES = (torch.float32, torch.bfloat16)


def wanted(signal: torch.Tensor) -> bool:
    """Whether a signal may pass a kernel: on a TPU, or as many as its batch can be divided over, and jax is there."""
    if type(signal) not in (torch.Tensor, nn.Parameter) or signal.device.type not in ("cpu", "xla"):
        return False  # one that is watched, traced or has no numbers
    if not forms.wants_tpu_form(signal) or signal.is_nested or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return False
    return signal.numel() > 0 and signal.shape[0] % utils.devices() == 0 and _usable()


@functools.cache
def _usable() -> bool:
    """Whether the kernels can be imported here."""
    if importlib.util.find_spec("jax") is None:
        warnings.warn("no kernels on the TPU, since jax is not installed: layers run one by one", stacklevel=2)
        return False
    try:
        importlib.import_module(".kernels.rows", __package__)
    except Exception as error:  # an older jax, or a broken one
        warnings.warn(f"no kernels on the TPU, since jax cannot be used here: {error}", stacklevel=2)
        return False
    return True


def computed_in(signal: torch.Tensor, layer: nn.Module) -> torch.dtype | None:
    """The dtype in which a layer convolves a signal, autocast or not; None where no kernel knows the pair."""
    device = signal.device.type
    if torch.is_autocast_enabled(device):
        computed = torch.get_autocast_dtype(device)
        known = signal.dtype in (torch.float32, computed)
    else:
        computed = stored_dtype(layer)
        known = signal.dtype == computed
    return computed if known and computed in _DTYPES else None


def is_plain(layer: nn.Module) -> bool:
    """Whether calling a layer is a convolution of stride 1 that keeps the length, and nothing else."""
    if not isinstance(layer, nn.Conv1d) or layer.groups != 1 or layer.stride != (1,) or layer.padding_mode != "zeros":
        return False
    if isinstance(layer.padding, str) or 2 * layer.padding[0] != layer.dilation[0] * (layer.kernel_size[0] - 1):
        return False
    return is_unhooked(layer)


def is_unhooked(layer: nn.Module) -> bool:
    """Whether calling a convolution is nothing but that, of a weight that may be computed by a weight norm."""
    hooked = layer._forward_hooks or layer._backward_hooks or layer._backward_pre_hooks
    hooked = hooked or _has_any_global_hook()  # type: ignore[no-untyped-call]
    if hooked or "forward" in vars(layer) or "_conv_forward" in vars(layer):
        return False
    known = (nn.Conv1d.__module__, *(f"{__package__}.{name}" for name in ("folded_layers", "grouped", "periodic")))
    kind: Any = type(layer)
    if any(method.__module__ not in known for method in (kind.forward, kind._conv_forward)):
        return False
    return has_plain_weight(layer) and computed_weight(layer, only_look=True) is not None


def offsets(layer: nn.Module) -> tuple[int, ...]:
    """How far in time the taps of a plain layer reach."""
    assert isinstance(layer, nn.Conv1d)
    padding = int(layer.padding[0])
    return tuple(range(-padding, padding + 1, layer.dilation[0]))


def named(dtype: torch.dtype) -> str:
    """A dtype's name, which jax knows too."""
    return str(dtype).removeprefix("torch.")


def kernels(name: str) -> Any:
    """One of the modules of kernels."""
    return importlib.import_module(f".kernels.{name}", __package__)


def fits(plan: Any) -> bool:
    """Whether the kernels of a plan can be had on the chip that graphs are traced for."""
    found: bool = kernels("rows").fits(plan, forms.kernel_memory())
    return found


def of_factor(
    gradient: torch.Tensor, weight: torch.Tensor, factor: torch.Tensor, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of a weight and of a factor for an axis of it, from that of their product."""
    products = (gradient * weight).movedim(axis, -1)
    along = factor.reshape(-1, 1) if axis == -2 else factor.reshape(-1)
    return gradient * along, products.flatten(0, -2).sum(0).reshape(factor.shape)


def run(build: Callable[..., Any], plan: Any, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Run a kernel, `forward` or `backward` of its module, in the graph of `tensors`."""
    of_batch = plan.of_batch(backward=build.__name__ == "backward")
    return utils.run_kernel(build, plan, tensors, for_tpu=bool(forms.chip()), of_batch=of_batch)
