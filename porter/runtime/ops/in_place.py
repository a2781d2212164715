"""Parameters that stay the same objects when their module moves to XLA, as they do when it moves to CUDA."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


def keep_in_place(module: nn.Module, *held: Any) -> None:
    """Let parameters and buffers in `module` stay the objects that they are when they move to or from XLA.

    `Module.to` puts new parameters in the place of the old ones there; what else holds an old one (a plain object, a
    list, a closure, another module) would go on holding a tensor of the host. `held` are tensors, or what holds some:
    lists, dicts, iterators. A module that holds one of them need not be `module`: it may be moved on its own.

    A parameter of which a graph is alive cannot move: that is a RuntimeError.
    """
    tensors = [tensor for given in held for tensor in _tensors(given)]
    for part in module.modules():
        if part is module or any(one is tensor for _, _, one in _slots(part) for tensor in tensors):
            moving = part.__dict__.get("_apply")
            if not isinstance(moving, _Moving):
                moving = _Moving(part)
                part._apply = moving  # type: ignore[method-assign]
            moving.kept += tensors


class _Moving:
    """A module's `_apply`, by which torch moves it and what is in it; copies of the module have one of their own."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.kept: list[torch.Tensor] = []

    def __call__(self, fn: Callable[..., Any], recurse: bool = True) -> nn.Module:
        """Move the module, then give what is kept its place back."""
        module = self.module
        kept = {id(tensor) for tensor in self.kept}
        before = [(*slot, slot[2].device.type) for part in module.modules() for slot in _slots(part)]
        type(module)._apply(module, fn, recurse)  # type: ignore[no-untyped-call]
        for place, name, old, backend in before:
            new = place[name]
            if id(old) not in kept or new is None or new is old or new.device.type == backend:
                continue
            if "xla" in (backend, new.device.type):
                _become(old, new)
                place[name] = old
        return module


def _tensors(given: Any) -> Iterator[torch.Tensor]:
    leaves = pytree.tree_leaves(given if isinstance(given, (torch.Tensor, dict)) else list(given))
    return (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))


def _slots(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Where a module itself has a parameter or a buffer: a dict, its key, and the tensor."""
    for place in (module._parameters, module._buffers):
        for name, tensor in place.items():
            if tensor is not None:
                yield place, name, tensor


def _become(old: torch.Tensor, new: torch.Tensor) -> None:
    """Let one tensor be what another is."""
    if old.device == new.device:  # it came there by the name of another module that shares it
        return
    attributes = dict(old.__dict__)
    try:
        torch.utils.swap_tensors(old, new)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise RuntimeError(
            "a parameter that others than its module hold cannot move to XLA: something that was computed from it "
            f"is alive, or refers to it ({error})"
        ) from error
    old.__dict__.update(attributes)
