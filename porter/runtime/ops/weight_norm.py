"""Weight normalisation by a forward hook, without the fused kernel that XLA has no lowering for."""

import weakref
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import Parameter, UninitializedParameter
from torch.nn.utils.weight_norm import WeightNorm as TorchWeightNorm

from .forms import wants_device_form

M = TypeVar("M", bound=nn.Module)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replace the parameter `name` by `name_g` (length) and `name_v` (direction): weight = g * v / |v|.

    Drop-in for `torch.nn.utils.weight_norm` (Salimans and Kingma 2016, arXiv:1602.07868): same parameters in
    the same order, the weight computed again before every forward. The norm is over every axis but `dim`;
    None (or -1, as in torch) takes one norm over all. RuntimeError if `name` has a weight norm already,
    ValueError if it has no shape yet.
    """
    if any(hook.name == name for hook in _hooks(module).values()):
        raise RuntimeError(f"the parameter {name!r} has a weight norm already")
    weight = getattr(module, name)
    if isinstance(weight, UninitializedParameter):
        raise ValueError(f"the parameter {name!r} has no shape yet: run a forward before the weight norm")
    hook = WeightNorm(name, -1 if dim is None else dim)
    del module._parameters[name]
    length = torch.norm_except_dim(weight.data, 2, hook.dim)
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(weight.data))
    hook(module, None)
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Turn `name_g` and `name_v` back into the parameter `name`. ValueError if it has no weight norm."""
    for key, hook in _hooks(module).items():
        if hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"the parameter {name!r} of {module} has no weight norm")


def computed_weight(module: nn.Module, *, only_look: bool = False) -> torch.Tensor | None:
    """The parameter `weight` as a forward of `module` would see it; None where some other hook has a say in it.

    `only_look` leaves a weight that a weight norm computes as the last forward left it.
    """
    hooks = module._forward_pre_hooks.values()
    if not all(isinstance(hook, TorchWeightNorm) for hook in hooks):
        return None
    for hook in () if only_look else hooks:
        hook(module, ())
    weight: torch.Tensor = module.weight  # type: ignore[assignment]
    return weight


class WeightNorm(TorchWeightNorm):
    """The hook. It is torch's own kind, so that either library can take off what the other put on."""

    def compute_weight(self, module: nn.Module) -> torch.Tensor:
        """The weight, in the shape and dtype of `name_v`."""
        length: torch.Tensor = getattr(module, f"{self.name}_g")
        direction: torch.Tensor = getattr(module, f"{self.name}_v")
        if not wants_device_form(length, direction):
            return torch._weight_norm(direction, length, self.dim)
        # The kernel adds up squares in float32 at least; so does this.
        wide = torch.promote_types(direction.dtype, torch.float32)
        norm = torch.norm_except_dim(direction.to(wide), 2, self.dim)
        return (direction.to(wide) * (length.to(wide) / norm)).to(direction.dtype)

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        """Set the weight of the coming forward."""
        weight = self.compute_weight(module)
        # torch refuses to copy a computed tensor; the next forward replaces this one, so a copy needs its
        # values only.
        weight.__deepcopy__ = _DetachedCopy(weight)  # type: ignore[method-assign]
        setattr(module, self.name, weight)


class _DetachedCopy:
    """A computed weight's own `__deepcopy__`; holds it weakly, else its graph would outlive the step."""

    def __init__(self, weight: torch.Tensor | None = None) -> None:
        self._weight = (lambda: None) if weight is None else weakref.ref(weight)

    def __call__(self, memo: dict[int, Any]) -> torch.Tensor | None:
        weight = self._weight()
        if weight is None:
            return None
        copied = weight.detach().clone()
        memo[id(weight)] = copied
        return copied

    def __reduce__(self) -> tuple[type["_DetachedCopy"], tuple[()]]:
        return _DetachedCopy, ()


def _hooks(module: nn.Module) -> dict[int, TorchWeightNorm]:
    hooks = module._forward_pre_hooks.items()
    return {key: hook for key, hook in hooks if isinstance(hook, TorchWeightNorm)}
