"""How a network calls its submodules, so that each can be traced alone, with inputs of the very same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.hooks import RemovableHandle

from porter.validate.waiting import looked_at


@dataclass(frozen=True)
class _Like:
    """A tensor, without what is in it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    differentiable: bool

    def made(self, device: torch.device) -> Tensor:
        tensor = torch.zeros(self.shape, dtype=self.dtype).to(device)
        return tensor.requires_grad_(self.differentiable)


@dataclass(frozen=True)
class Call:
    """One call of a submodule: its arguments, and what was in force around it."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    gradients: bool
    autocast: bool
    dtype: torch.dtype  # of autocast

    def repeat(self, module: nn.Module, device: torch.device) -> tuple[object, list[Tensor]]:
        """Call `module` with new tensors of the same shapes: the result, and those of them that want a gradient."""
        made: list[Tensor] = []

        def make(value: object) -> object:
            if not isinstance(value, _Like):
                return value
            made.append(value.made(device))
            return made[-1]

        args, kwargs = tree_map(make, self.args), tree_map(make, dict(self.kwargs))
        with (
            torch.set_grad_enabled(self.gradients),
            torch.autocast(device.type, dtype=self.dtype, enabled=self.autocast),
        ):
            result = module(*args, **kwargs)
        return result, [tensor for tensor in made if tensor.requires_grad]


class Calls(AbstractContextManager["Calls"]):
    """Inside the block, notes each call of the submodules that are meant."""

    def __init__(self, modules: Mapping[str, nn.Module], means: Callable[[str], bool]) -> None:
        """`modules` by name; `means` tells whether a name is meant."""
        self.calls: dict[str, list[Call]] = {}
        self.known = tuple(modules)
        self._modules = {name: module for name, module in modules.items() if means(name)}
        self._hooks: list[RemovableHandle] = []

    def module(self, name: str) -> nn.Module:
        """One of those that were called."""
        return self._modules[name]

    def __enter__(self) -> Calls:
        for name, module in self._modules.items():
            self._hooks.append(module.register_forward_pre_hook(self._noting(name), with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _noting(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            call = Call(
                tree_map(_like, args),
                tree_map(_like, kwargs),
                torch.is_grad_enabled(),
                torch.is_autocast_enabled("xla"),
                torch.get_autocast_dtype("xla"),
            )
            self.calls.setdefault(name, []).append(call)

        return note


def _like(value: object) -> object:
    value = looked_at(value)
    if not isinstance(value, Tensor):
        return value
    return _Like(tuple(value.shape), value.dtype, value.requires_grad and torch.is_grad_enabled())
