"""The public callables of torch, by their full names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

FOLDERS: dict[str, ModuleType | type] = {
    "torch": torch,
    "torch.Tensor": torch.Tensor,
    "torch.nn.functional": torch.nn.functional,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.fft": torch.fft,
    "torch.signal.windows": torch.signal.windows,
    "torch.nn.utils": torch.nn.utils,
    "torch.nn.utils.parametrizations": torch.nn.utils.parametrizations,
    "torch.nn.utils.rnn": torch.nn.utils.rnn,
}


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions and methods, with what they are."""
    for folder, holder in FOLDERS.items():
        for name in dir(holder):
            if name.startswith("_"):
                continue
            value = getattr(holder, name)
            module = getattr(value, "__module__", None) or "torch"
            if not callable(value) or inspect.isclass(value) or inspect.ismodule(value):
                continue
            if module.startswith("torch"):  # not what a module has imported for itself
                yield f"{folder}.{name}", value


# What else rules read arguments of. Nothing of it is tried on XLA.
_OTHERS = (
    "torch.amp torch.autograd torch.cuda.amp torch.distributed torch.distributions torch.nn.init torch.nn.parallel "
    "torch.optim torch.optim.lr_scheduler torch.utils.checkpoint torch.utils.data torch.utils.data.distributed"
).split()


def others() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions and classes of which only the signature is asked."""
    for folder in _OTHERS:
        module = importlib.import_module(folder)
        for name in dir(module):
            value = getattr(module, name)
            own = getattr(value, "__module__", None) or ""
            if (
                not name.startswith("_")
                and own.startswith("torch")
                and (inspect.isclass(value) or inspect.isfunction(value))
            ):
                yield f"{folder}.{name}", value
    yield "torch.nn.Parameter", torch.nn.Parameter
    yield "torch.autocast", torch.autocast


def classes() -> Iterator[tuple[str, type]]:
    """The layers of `torch.nn`, and the few classes that stand beside functions."""
    for name in dir(torch.nn):
        value = getattr(torch.nn, name)
        if inspect.isclass(value) and issubclass(value, torch.nn.Module):
            yield f"torch.nn.{name}", value


def aliases(known: dict[str, Any]) -> dict[str, str]:
    """Other full names of the same objects: where they are defined, and modules that carry them too."""
    found: dict[str, str] = {}
    for name, value in known.items():
        module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if (
            not isinstance(module, str)
            or not module.startswith("torch.")
            or "." in own
            or module.startswith("torch._C")
        ):
            continue
        full = f"{module}.{own}"
        if full not in known and getattr(inspect.getmodule(value), own, None) is value:
            found[full] = name
        package = full.rpartition(".")[0].rpartition(".")[0]  # torch.nn.modules.Linear
        if package.startswith("torch.nn.modules"):
            found[f"{package}.{own}"] = name
    return found
