"""Weight normalisation by a forward hook, without the fused kernel that XLA has no lowering for."""

import weakref
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parameter import Parameter
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.weight_norm import WeightNorm as TorchWeightNorm

from .. import utils
from .deferred import Deferred
from .forms import wants_device_form, wants_tpu_form

M = TypeVar("M", bound=nn.Module)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replace the parameter `name` by `name_g` (length) and `name_v` (direction): weight = g * v / |v|.

    Drop-in for `torch.nn.utils.weight_norm` (Salimans and Kingma 2016, arXiv:1602.07868), which it calls: parameters,
    errors and its notice of deprecation are torch's. The weight is computed again before every forward. The norm is
    over every axis but `dim`; None (or -1, as in torch) takes one norm over all.
    """
    nn.utils.weight_norm(module, name, dim)  # type: ignore[arg-type]
    hook = WeightNorm(name, -1 if dim is None else dim)
    module._forward_pre_hooks[next(reversed(module._forward_pre_hooks))] = hook
    hook(module, None)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Turn `name_g` and `name_v` back into the parameter `name`. ValueError if it has no weight norm."""
    for key, hook in _hooks(module).items():
        if hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")  # in torch's words


def fold_weight_norms(network: nn.Module) -> int:
    """Compute the weight of each weight norm in `network` now, for inference; returns how many it could.

    For a network that is on its device and has its weights, between steps: the weights are computed on the host, as
    `remove_weight_norm` would there. Parameters stay as they are, and so does `state_dict`. A forward uses a folded
    weight until one of its parameters is replaced, moved or written to, or until one wants gradients: training ends it.
    From then on the weight is computed before every forward, as ever. Copies of the network are not folded. Fold again
    after writes that torch does not count, those through `.data` and by `torch.distributed`: they may not be seen.
    Weight norms that are parametrizations stay as they are; torch's `parametrize.cached()` keeps their weights.
    """
    return sum(
        hook.fold(module)
        for module in network.modules()
        for hook in _hooks(module).values()
        if isinstance(hook, WeightNorm)
    )


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
    return weight.read() if isinstance(weight, Deferred) and not only_look else weight


def has_plain_weight(module: nn.Module) -> bool:
    """Whether looking at a module's weight changes nothing, as a spectral norm of torch's parametrizations would."""
    parametrized = getattr(module, "parametrizations", {})
    return all(isinstance(one, _WeightNorm) for own in parametrized.values() for one in own)


def stored_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of a module's weight in its next forward, whatever the last one left."""
    weight: torch.Tensor = module.weight_v if _row_norm(module) else module.weight  # type: ignore[assignment]
    return weight.dtype


def has_length(module: nn.Module) -> bool:
    """Whether a weight norm of this kind, and nothing else, is to compute the rows of a module's weight."""
    hook = _row_norm(module)
    return hook is not None and hook.folded(module) is None


def _row_norm(module: nn.Module) -> "WeightNorm | None":
    """The only hook of a module, if that is a weight norm of the rows of its weight."""
    (hook, *others) = module._forward_pre_hooks.values() or (None,)
    if not isinstance(hook, WeightNorm) or others or (hook.name, hook.dim) != ("weight", 0):
        return None
    return hook


def weight_and_length(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A weight and None, or, with a weight norm, its direction and its length [O, 1, ...].

    For modules whose `computed_weight` is not None.
    """
    hook = _row_norm(module)
    if hook is not None and hook.folded(module) is None:
        length: torch.Tensor = module.weight_g  # type: ignore[assignment]
        direction: torch.Tensor = module.weight_v  # type: ignore[assignment]
        hook.keep(module, _NormedWeight.of(length, direction))  # for whoever looks at it
        return direction, length
    weight = computed_weight(module)
    assert weight is not None
    return weight, None


def weight_and_factor(module: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight and what its result is multiplied by, [O]: of a weight norm, the direction and its factor.

    For modules whose `computed_weight` is not None.
    """
    weight, length = weight_and_length(module)
    return weight, weight.new_ones(len(weight)) if length is None else _factor(length, weight, 0).flatten()


class _Folded:
    """A weight that was computed once, and what of."""

    def __init__(self, weight: torch.Tensor, sources: tuple[torch.Tensor, ...]) -> None:
        self.weight, self._sources = weight, sources
        self._memory = [source.detach() for source in sources]  # so that nothing else comes to lie there
        self._contents = self._ids()

    def is_of(self, sources: tuple[torch.Tensor, ...]) -> bool:
        """Whether these are what it was computed of, and nobody wrote to them or to the weight."""
        same = all(one is other for one, other in zip(self._sources, sources, strict=True))
        return same and self._ids() == self._contents

    def _ids(self) -> list[tuple[int, int]]:
        return [utils.content_id(tensor) for tensor in (*self._sources, self.weight)]


class WeightNorm(TorchWeightNorm):
    """The hook. It is torch's own kind, so that either library can take off what the other put on."""

    _folded: _Folded | None = None

    def compute_weight(self, module: nn.Module) -> torch.Tensor:
        """The weight, in the shape and dtype of `name_v`."""
        length, direction = self._sources(module)
        return normed(length, direction, self.dim)

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        """Set the weight of the coming forward."""
        weight: Any = self.folded(module)
        if weight is None:
            weight = self._deferred(module)
        if weight is None:
            weight = self.compute_weight(module)
        self.keep(module, weight)

    def fold(self, module: nn.Module) -> bool:
        """Compute the weight now, as data of the device; False where that cannot be, or would not be kept right."""
        length, direction = sources = self._sources(module)
        known = all(type(source) is Parameter and not source.is_inference() for source in sources)
        if not known or direction.is_meta or length.dtype != direction.dtype:
            return False
        with torch.no_grad():
            weight = torch._weight_norm(direction.cpu(), length.cpu(), self.dim)
        self._folded = _Folded(utils.constant(weight, direction.device), sources)
        return True

    def folded(self, module: nn.Module) -> torch.Tensor | None:
        """The weight that was computed before, where a forward may use it; else it is dropped."""
        held = self._folded
        if held is None or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return None
        sources = self._sources(module)
        # Whoever wants gradients is about to change the parameters, and not every optimizer counts its writes.
        learning = torch.is_grad_enabled() and any(source.requires_grad for source in sources)
        if not learning and held.is_of(sources):
            return held.weight
        self._folded = None
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_folded"}

    def _sources(self, module: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Length and direction."""
        return getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")

    def keep(self, module: nn.Module, weight: Any) -> None:
        """Set a weight, a tensor or one that waits."""
        # torch refuses to copy a computed tensor; the next forward replaces this one, so a copy needs its
        # values only.
        weight.__deepcopy__ = _DetachedCopy(weight)
        setattr(module, self.name, weight)

    def _deferred(self, module: nn.Module) -> "_NormedWeight | None":
        """On a TPU, the weight of a convolution that may be few products: computed when it is looked at."""
        length, direction = self._sources(module)
        if self.name != "weight" or self.dim != 0 or not _is_product(module) or not wants_tpu_form(length, direction):
            return None
        return _NormedWeight.of(length, direction)


class _NormedWeight(Deferred):
    """A weight that is computed when it is looked at.

    Where a signal of a convolution of one tap has fewer samples than channels, the weight is what is large: not it is
    normalised, but the result.
    Looked at later, it is the weight of the parameters as they are then.
    """

    def __init__(self, length: torch.Tensor, direction: torch.Tensor) -> None:
        super().__init__()
        self.length, self.direction = length, direction

    @staticmethod
    def of(length: torch.Tensor, direction: torch.Tensor) -> "_NormedWeight":
        """The weight of a length and a direction."""
        return _NormedWeight.like(direction.shape, direction.dtype, direction.device, length, direction)

    def _compute(self) -> torch.Tensor:
        return normed(self.length, self.direction, 0)

    def convolve(self, input: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """What the convolution makes of [B, C, T]."""
        found = F.conv1d(input, self.direction)
        factor = _factor(self.length, self.direction, 0).squeeze(-1)
        wide = found.to(factor.dtype) * factor
        return (wide if bias is None else wide + bias.unsqueeze(-1)).to(found.dtype)


def _conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> torch.Tensor | None:
    """A convolution of one tap whose signal has fewer samples than its weight has columns."""
    if not isinstance(weight, _NormedWeight) or not isinstance(input, torch.Tensor) or input.dim() != 3:
        return None
    if weight.shape[2:] != (1,):
        return None
    if stride not in (1, (1,), [1]) or padding not in (0, (0,), [0]) or groups != 1 or not weight.current:
        return None
    return weight.convolve(input, bias) if input.shape[0] * input.shape[2] < weight.shape[1] else None


_NormedWeight.known = {F.conv1d: _conv1d}


def normed(length: torch.Tensor, direction: torch.Tensor, dim: int) -> torch.Tensor:
    """`torch._weight_norm`: the weight, in the shape and dtype of `direction`; one norm over all for a `dim` of -1."""
    # torch has its kernel for these alone; what it does with others, XLA can do as well.
    kernel = dim in (0, direction.dim() - 1) and torch.float16 not in (length.dtype, direction.dtype)
    if not kernel or not wants_device_form(length, direction):
        return torch._weight_norm(direction, length, dim)
    factor = _factor(length, direction, dim)
    return (direction.to(factor.dtype) * factor).to(direction.dtype)


def _factor(length: torch.Tensor, direction: torch.Tensor, dim: int) -> torch.Tensor:
    """What a direction is multiplied by, in float32 at least, in which torch's kernel adds up squares too."""
    wide = torch.promote_types(direction.dtype, torch.float32)
    return length.to(wide) / torch.norm_except_dim(direction.to(wide), 2, dim)


def _is_product(module: nn.Module) -> bool:
    """Whether a module is torch's own convolution of one tap."""
    if not isinstance(module, nn.Conv1d) or module.padding_mode != "zeros":
        return False
    kind = type(module)
    if kind.forward is not nn.Conv1d.forward or kind._conv_forward is not nn.Conv1d._conv_forward:
        return False
    return (module.kernel_size, module.stride, module.padding, module.groups) == ((1,), (1,), (0,), 1)


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
