"""When layers can run in a kernel that keeps their signals on the chip of a TPU, and how it runs."""

import dataclasses
import functools
import importlib
import importlib.util
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from .. import utils
from . import forms, programs
from .weight_norm import computed_weight, has_plain_weight, stored_dtype

DTYPES = "its dtypes are none that it knows"
_DTYPES = (torch.float32, torch.bfloat16)

_told: dict[tuple[str, str], str] = {}  # by kernel and kind of reason


def wanted(signal: torch.Tensor, kernel: str) -> bool:
    """Whether a signal may pass a kernel: on a TPU, or as many as its batch can be divided over, and jax is there."""
    if not _has_numbers(signal):
        return False
    if not forms.wants_tpu_form(signal) or signal.is_nested or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return False
    if signal.numel() == 0 or signal.shape[0] % utils.devices() or forms.kernels_off():
        return False
    if not forms.kernel_memory():
        tell("", f"this TPU is {forms.chip() or 'none that can be told'}, and known are {', '.join(forms.CHIPS)}")
        return False
    return kernels(kernel) is not None


def _has_numbers(signal: torch.Tensor) -> bool:
    """Whether a signal is neither watched nor traced, and not on the device that holds no numbers."""
    return type(signal) in (torch.Tensor, nn.Parameter) and signal.device.type in ("cpu", "xla")


@functools.cache
def kernels(name: str) -> Any:
    """One of the files of kernels; None, which is told once, where it cannot be imported."""
    try:
        if importlib.util.find_spec("jax") is None:
            tell("", "jax is not installed")
            return None
        importlib.import_module("jax.experimental.pallas.tpu")
    except Exception as error:  # an older jax, or a broken one: whatever that raises
        tell("", f"jax cannot be imported: {_one_line(error)}")
        return None
    try:
        return importlib.import_module(f".kernels.{name}", __package__)
    except Exception as error:  # it asks jax for what another version has not, or was edited by hand
        tell(name, f"its file cannot be imported: {_one_line(error)}")
        return None


def available(signal: torch.Tensor, name: str, *plans: Any) -> bool:
    """Whether the kernels of plans can be had, for this signal, on the chip that graphs are traced for."""
    return not misfit(signal, name, *plans)


def misfit(signal: torch.Tensor, name: str, *plans: Any) -> str:
    """Why the kernels of plans cannot be had for a signal on the chip that graphs are traced for; "" where they can.

    What each takes is compared with the chip's memory; and each is lowered, and for a chip compiled, once, before it
    becomes part of a graph (`programs`). Where it cannot be had, that is told once.
    """
    passes = (False, True)[: 1 + torch.is_grad_enabled()]
    found = next(filter(None, (problem(signal, name, plan, passes) for plan in plans)), "")
    if found:
        tell(name, found)
    return found


def unwanted(signal: torch.Tensor) -> str:
    """Why a signal that is not `wanted` passes no kernel, in a clause."""
    if forms.kernels_off():
        return "SOVITS_PORT_KERNELS is off"
    return f"a signal of {list(signal.shape)} passes none, or the kernel cannot be had"


def refused(layer: nn.Module, signal: torch.Tensor) -> str:
    """Why a layer has no place in a kernel, in a clause."""
    if not is_unhooked(layer):
        return f"{layer} has hooks, or a forward of its own"
    return f"{layer} has no place in it, given {signal.shape[1]} channels"


def problem(signal: torch.Tensor, name: str, plan: Any, passes: tuple[bool, ...]) -> str:
    """Why the kernels of a plan cannot be had, in a clause; "" where they can. `passes`: backward or not."""
    found: str = kernels(name).misfit(plan, forms.kernel_memory())
    if found or utils.on_host(signal):  # there they are interpreted
        return found
    plan = _of_one_device(plan)
    for backward in passes:
        made = programs.program(name, plan, backward=backward, chip=forms.chip())
        if made.problem and not made.lasting and utils.hosts() > 1:
            raise RuntimeError(
                f"the kernel {name} cannot be had on this host ({made.problem}), and all hosts have to compile the "
                "same graph: start again, or set SOVITS_PORT_KERNELS=off on all of them"
            )
        if made.problem:
            return f"its {'backward' if backward else 'forward'} pass: {made.problem}"
    return ""


def tell(name: str, found: str) -> None:
    """Warn that a kernel, or with "" any, cannot be had, once for each kind of reason."""
    key = (name, re.sub(r"\d+", "", found))
    if key not in _told:
        kernel, layers = (f"the kernel {name}", "its layers") if name else ("kernels", "layers")
        _told[key] = f"{kernel} cannot be had on the TPU, so {layers} run one by one: {found}"
        warnings.warn(_told[key], stacklevel=2)


def told() -> list[str]:
    """What was said of kernels that cannot be had, so far."""
    return list(_told.values())


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


def computed_in_all(signal: torch.Tensor, layers: Iterable[nn.Module]) -> torch.dtype | None:
    """The one dtype in which all of these layers convolve a signal; None where they have none in common."""
    dtypes = {computed_in(signal, layer) for layer in layers}
    return dtypes.pop() if len(dtypes) == 1 else None


def is_plain(layer: nn.Module) -> bool:
    """Whether calling a layer is a convolution of stride 1 that keeps the length, and nothing else."""
    if not isinstance(layer, nn.Conv1d) or layer.groups != 1 or layer.stride != (1,) or layer.padding_mode != "zeros":
        return False
    if isinstance(layer.padding, str) or 2 * layer.padding[0] != layer.dilation[0] * (layer.kernel_size[0] - 1):
        return False
    return is_unhooked(layer)


def is_unhooked(layer: nn.Module) -> bool:
    """Whether calling a convolution is nothing but that, of a weight that may be computed by a weight norm."""
    if _is_hooked(layer) or "forward" in vars(layer) or "_conv_forward" in vars(layer):
        return False
    known = (nn.Conv1d.__module__, *(f"{__package__}.{name}" for name in ("folded_layers", "grouped", "periodic")))
    kind: Any = type(layer)
    if any(method.__module__ not in known for method in (kind.forward, kind._conv_forward)):
        return False
    return has_plain_weight(layer) and computed_weight(layer, only_look=True) is not None


def _is_hooked(layer: nn.Module) -> bool:
    """Whether hooks run with a layer; those before its forward may be the ones that compute its weight."""
    own = layer._forward_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return bool(own or _has_any_global_hook())  # type: ignore[no-untyped-call]


def offsets(layer: nn.Module) -> tuple[int, ...]:
    """How far in time the taps of a plain layer reach."""
    assert isinstance(layer, nn.Conv1d)
    padding = int(layer.padding[0])
    return tuple(range(-padding, padding + 1, layer.dilation[0]))


def named(dtype: torch.dtype) -> str:
    """A dtype's name, which jax knows too."""
    return str(dtype).removeprefix("torch.")


def of_factor(
    gradient: torch.Tensor, weight: torch.Tensor, factor: torch.Tensor, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of a weight and of a factor for an axis of it, from that of their product."""
    products = (gradient * weight).movedim(axis, -1)
    along = factor.reshape(-1, 1) if axis == -2 else factor.reshape(-1)
    return gradient * along, products.flatten(0, -2).sum(0).reshape(factor.shape)


def run(name: str, plan: Any, tensors: Sequence[torch.Tensor], *, backward: bool = False) -> list[torch.Tensor]:
    """Run the kernel of a plan, forward or backward, in the graph of `tensors`."""
    _check(name, plan, tensors, backward)
    if utils.on_host(*tensors):
        return programs.interpreted(name, plan, tensors, backward=backward, as_tpu=forms.as_tpu())
    found = programs.program(name, _of_one_device(plan), backward=backward, chip=forms.chip())
    if not found.hlo:
        raise RuntimeError(f"the kernel {name} cannot be had: {found.problem}")
    called = f"{name}_{'backward' if backward else 'forward'}_kernel"
    return utils.call_program(called, found.hlo, tensors, plan.of_batch(backward=backward))


def _of_one_device(plan: Any) -> Any:
    """The plan for each of several devices, which divide the batch."""
    return dataclasses.replace(plan, batch=plan.batch // utils.devices())


def _check(name: str, plan: Any, tensors: Sequence[torch.Tensor], backward: bool) -> None:
    """Arguments have to be those that a plan tells of: a kernel was lowered for them."""
    given = [(tuple(tensor.shape), named(tensor.dtype)) for tensor in tensors]
    wanted = _arguments(name, plan, backward)
    assert given == wanted, f"the kernel {name} is given {given}, not {wanted}"


@functools.lru_cache(maxsize=1024)  # every step asks again
def _arguments(name: str, plan: Any, backward: bool) -> list[tuple[tuple[int, ...], str]]:
    """Shapes and dtypes of what a kernel is given."""
    return [(tuple(one.shape), str(one.dtype)) for one in kernels(name).arguments(plan, backward=backward)]


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
