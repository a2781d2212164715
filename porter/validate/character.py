"""What a result is besides its values: types, requires_grad, shared memory; and what a call leaves behind."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from porter.validate.waiting import looked_at

Kinds = dict[str, str]  # by the way to a part of a result

_PLAIN = (bool, int, float, str, type(None))


def kinds(value: object, owners: Mapping[int, str]) -> Kinds:
    """What each part of a result is, by its way through tuples, lists, dicts and dataclasses.

    `owners` names storages, by their address, that are known: whatever shares one is a view of it.
    """
    return dict(_kinds(value, dict(owners), ""))


def _kinds(value: object, owners: dict[int, str], name: str) -> Iterator[tuple[str, str]]:
    value = looked_at(value)
    here = name or "result"
    if isinstance(value, Tensor):
        yield here, _tensor(value, owners, here)
        return
    if value is None or isinstance(value, (bool, str)):
        yield here, repr(value)
        return
    parts = members(value)
    if parts is None:
        yield here, type(value).__name__
        return
    yield f"{here}()", f"{type(value).__name__} of {len(parts)}"
    for key, member in parts:
        yield from _kinds(member, owners, f"{name}.{key}" if name else key)


def members(value: object) -> list[tuple[str, object]] | None:
    """What a tuple, list, dict or dataclass holds, by name; None for anything else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [(str(key), member) for key, member in value.items()]
    if isinstance(value, (tuple, list)):
        return [(str(index), member) for index, member in enumerate(value)]
    return None


def _tensor(value: Tensor, owners: dict[int, str], name: str) -> str:
    words = [str(value.dtype).removeprefix("torch.")]
    if value.requires_grad:
        words.append("requires a gradient")
    if value.is_inference():
        words.append("of inference mode")
    if type(value) is nn.Parameter:
        words.append("a parameter")
    address = storage(value)
    if address:
        owner = owners.setdefault(address, f"result {name}")
        if owner != f"result {name}":
            words.append(f"shares memory with {owner}")
    return ", ".join(words)


def storage(value: Tensor) -> int:
    """Address of a tensor's memory on the CPU; 0 where there is none, or nobody can tell."""
    if value.device.type != "cpu" or not value.numel() or value.layout != torch.strided:
        return 0
    return value.untyped_storage().data_ptr()


def owners_of(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[int, str]:
    """Names of what a result may share memory with, by address: inputs, parameters, buffers."""
    found: dict[int, str] = {}
    with torch._C.DisableTorchFunction():  # type: ignore[no-untyped-call]  # nobody watches the judge's own questions
        for prefix, module in model.named_modules():  # once, where a model has hundreds
            for name, value in [*module._parameters.items(), *module._buffers.items()]:
                if value is not None:
                    found.setdefault(storage(value), f"{prefix}.{name}" if prefix else name)
        for name, value in batch.items():
            found[storage(value)] = f"input {name}"
    found.pop(0, None)
    return found


# -- what a call leaves behind --------------------------------------------------------------------------------------


def traits(model: nn.Module) -> dict[str, dict[str, str]]:
    """Public attributes of all submodules that hold plain values, and whether each is in training."""
    found = {}
    for name, module in model.named_modules():
        if name:
            own = {k: _plain(v) for k, v in vars(module).items() if not k.startswith("_") and _is_plain(v)}
            found[name] = dict(sorted(own.items()))
    return found


def methods(model: nn.Module) -> dict[str, list[str]]:
    """Public names that can be called, by submodule: all but those of nn.Module itself."""
    own = frozenset(dir(nn.Module()))
    return {
        name: sorted(k for k in dir(type(module)) if not k.startswith("_") and k not in own)
        for name, module in model.named_modules()
        if name and not type(module).__module__.startswith("torch.")
    }


def modes() -> dict[str, str]:
    """What is switched for whoever runs next: gradients, inference mode, autocast, the default type."""
    return {
        "gradients": str(torch.is_grad_enabled()),
        "inference mode": str(torch.is_inference_mode_enabled()),
        "autocast": str(torch.is_autocast_enabled("cpu")),
        "default dtype": str(torch.get_default_dtype()),
    }


@contextmanager
def watched_seeds() -> Iterator[list[str]]:
    """Which generators are seeded during the block, and with what."""
    seeds: list[str] = []
    places: tuple[tuple[Any, str], ...] = (
        (torch, "manual_seed"), (torch.random, "manual_seed"), (random, "seed"), (numpy.random, "seed"),
    )  # fmt: skip
    old = [getattr(owner, name) for owner, name in places]

    def watching(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def seed(*args: Any, **kwargs: Any) -> Any:
            seeds.append(f"{label}({', '.join(map(str, (*args, *kwargs.values())))})")
            return function(*args, **kwargs)

        return seed

    labels = ("torch", "torch", "random", "numpy")
    for (owner, name), label, function in zip(places, labels, old, strict=True):
        setattr(owner, name, watching(label, function))
    try:
        yield seeds
    finally:
        for (owner, name), function in zip(places, old, strict=True):
            setattr(owner, name, function)


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(member) for member in value)
    return isinstance(value, _PLAIN)


def _plain(value: object) -> str:
    return repr(value)
