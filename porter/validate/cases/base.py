"""What a case is: which class of upstream to run, with which arguments, on which batches."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.settings import Settings

Batch = dict[str, Tensor]


class Unavailable(Exception):  # noqa: N818  # not an error: this upstream has no such thing
    """This upstream lacks what the case runs; the text says what."""


@dataclass(frozen=True)
class Library:
    """One side's modules, by the name that they have inside the folder `module`."""

    package: str

    def module(self, name: str) -> ModuleType:
        """Import a module, such as `models`."""
        return importlib.import_module(f"{self.package}.{name}")

    def member(self, module: str, name: str) -> Any:
        """A class or function. Raises Unavailable where the module has none of that name."""
        found = getattr(self.module(module), name, None)
        if found is None:
            raise Unavailable(f"{module}.py of this upstream has no {name}")
        return found


def _call(model: nn.Module, batch: Batch) -> object:
    return model(**batch)


@dataclass(frozen=True)
class Case:
    """One model of upstream in training, forward and backward.

    `arguments` and `batch` look at the signatures that upstream has, so that one case serves many revisions.
    They run on the reference side only: the port gets the same arguments and tensors, or shows that it cannot
    take them.
    """

    name: str
    module: str  # file of `module`, without suffix
    entry: str  # class in it
    arguments: Callable[[Callable[..., Any], Settings], dict[str, Any]]  # of the constructor, as JSON can hold them
    batch: Callable[[nn.Module, Settings, torch.Generator], Batch]  # keyword arguments of forward
    differentiate: tuple[str, ...] = ()  # members of the batch whose gradient is compared too
    call: Callable[[nn.Module, Batch], object] = _call

    def build(self, library: Library, arguments: Mapping[str, Any]) -> nn.Module:
        """The model, on the CPU."""
        model = library.member(self.module, self.entry)(**arguments)
        assert isinstance(model, nn.Module)
        return model


def accepted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that `function` takes."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        named = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        # What only **kwargs would swallow is left out, except for what upstream's trainers pass there.
        return {k: v for k, v in offered.items() if k in named or k not in _OPTIONAL}
    return {k: v for k, v in offered.items() if k in parameters}


_OPTIONAL = frozenset({"version"})


def lengths(count: int, least: int, most: int, generator: torch.Generator) -> Tensor:
    """`count` lengths from `least` to `most`, int64."""
    return torch.randint(least, most + 1, (count,), generator=generator)


def within(values: Tensor, ends: Tensor) -> Tensor:
    """`values` (batch, …, time), zero from each sample's end on, as a collate function pads."""
    inside = torch.arange(values.shape[-1]) < ends[:, None]
    return values * inside.view(values.shape[0], *(1,) * (values.dim() - 2), -1).to(values.dtype)
