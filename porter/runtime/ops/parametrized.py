"""Weight norm and spectral norm in torch's newer spelling, as parametrizations, from operators that XLA lowers."""

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.overrides import TorchFunctionMode

from .forms import wants_device_form
from .weight_norm import normed

M = TypeVar("M", bound=nn.Module)


def parametrized_weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """`torch.nn.utils.parametrizations.weight_norm`, which it calls: the same state_dict, hooks and errors.

    The parameter `name` becomes `parametrizations.name.original0` (length) and `original1` (direction). The norm is
    over every axis but `dim`; None takes one norm over all.
    """
    parametrizations.weight_norm(module, name, dim)  # type: ignore[arg-type]
    _newest(module, name).__class__ = _WeightNorm
    return module


def parametrized_spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """`torch.nn.utils.parametrizations.spectral_norm`, which it calls: the same state_dict, hooks and errors.

    The parameter `name` becomes `parametrizations.name.original`; it is divided by an estimate of its largest singular
    value, which each forward in training mode makes better by `n_power_iterations`.
    """
    parametrizations.spectral_norm(module, name, n_power_iterations, eps, dim)
    _newest(module, name).__class__ = _SpectralNorm
    return module


# Named as torch's own, since the `repr` of a module shows these names.
class _WeightNorm(parametrizations._WeightNorm):
    def forward(self, weight_g: torch.Tensor, weight_v: torch.Tensor) -> torch.Tensor:
        """The weight of a length and a direction."""
        return normed(weight_g, weight_v, self.dim)


class _SpectralNorm(parametrizations._SpectralNorm):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """`weight` over its largest singular value."""
        if weight.is_complex() or not wants_device_form(weight):
            return super().forward(weight)
        with _RealProducts():
            return super().forward(weight)


class _RealProducts(TorchFunctionMode):
    """Takes `torch.dot` for `torch.vdot`, which has no lowering: of real numbers they are the same."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (torch.dot if func is torch.vdot else func)(*args, **(kwargs or {}))


def _newest(module: nn.Module, name: str) -> nn.Module:
    """The parametrization that was registered last for a parameter."""
    registered: nn.ModuleList = module.parametrizations[name]  # type: ignore[index,assignment]
    return registered[-1]
