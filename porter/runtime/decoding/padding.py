"""Signals padded to a bucket, and layers that see what upstream pads with behind their end, as if nothing was."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .. import ops, utils
from ..ops import folding


class Padded:
    """How much of a padded signal is there: a number that is data, so that no graph depends on it."""

    def __init__(self, length: int, padded: int, like: Tensor) -> None:
        """`padded` places, of which `length` are there; masks are of the dtype of `like`, on its device."""
        self.count, self.padded = length, padded
        self.length = utils.constant(torch.tensor([length]), like.device)  # (1), int64
        self._dtype = like.dtype
        self._masks: dict[tuple[int, int], Tensor] = {}

    @classmethod
    def bucketed(cls, length: int, like: Tensor) -> "Padded":
        """One whose bucket is that of its length."""
        return cls(length, ops.bucket(length), like)

    def mask(self, samples: int | None = None, factor: int = 1) -> Tensor:
        """1 where the signal is, 0 behind it, with `samples` in all (default: its places) for the padded ones.

        (1, 1, samples), or (1, factor, samples / factor) of a signal that is folded.
        """
        samples = self.padded if samples is None else samples
        if (samples, factor) not in self._masks:
            place = torch.arange(samples, device=self.length.device)
            there = (place < self.length * (samples // self.padded)).to(self._dtype).view(1, 1, -1)
            self._masks[samples, factor] = folding.fold(there, factor)
        return self._masks[samples, factor]

    def mask_of(self, signal: Tensor, channels: int) -> Tensor:
        """A mask for [B, factor * channels, T]: (1, 1, T), or (1, factor * channels, T) where it is folded."""
        factor = signal.shape[1] // channels
        mask = self.mask(signal.shape[2] * factor, factor)
        return mask if factor == 1 else mask.repeat_interleave(channels, 1)


def padded_to(tensor: Tensor, length: int) -> Tensor:
    """A tensor with zeros behind its last axis."""
    return F.pad(tensor, (0, length - tensor.shape[-1]))


@contextlib.contextmanager
def silence_behind(network: nn.Module, signal: Callable[[], Padded]) -> Iterator[None]:
    """Let the convolutions inside `network` see zeros behind `signal()`, whatever passes them at its rate.

    Blocks that take an `x_mask`, which they use for just that, are given one. Where a signal is padded with its last
    place (`mode="replicate"`), that is the last one that is there.
    """

    def masked(module: Any, args: Any) -> Any:
        return args[0] * signal().mask_of(args[0], module.in_channels), *args[1:]

    def told(module: Any, args: Any, kwargs: Any) -> Any:
        channels = next(inner.in_channels for inner in module.modules() if _is_wide(inner))
        return args, {**kwargs, "x_mask": signal().mask_of(args[0], channels)}

    with contextlib.ExitStack() as held:
        for module in _outermost(network):
            if _is_wide(module):
                hook = module.register_forward_pre_hook(masked)
            else:
                hook = module.register_forward_pre_hook(told, with_kwargs=True)
            held.callback(hook.remove)
        held.enter_context(_LastRepeated(signal))
        yield


class _LastRepeated(TorchFunctionMode):
    """Padding repeats the last place of a signal that is there, and not the last one of all."""

    def __init__(self, signal: Callable[[], Padded]) -> None:
        super().__init__()
        self._signal = signal

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.pad:
            args, kwargs = self._extended(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _extended(self, signal: Tensor, widths: Any, mode: str = "constant", value: Any = None) -> Any:
        if mode == "replicate" and widths[1] > 0:
            there = self._signal().mask(signal.shape[-1]) > 0
            last = signal.index_select(-1, there.sum().view(1) - 1)
            signal = torch.where(there, signal, last)
        return (signal, widths, mode, value), {}


def _outermost(network: nn.Module) -> Iterator[nn.Module]:
    """Blocks that take a mask, and the convolutions outside them."""
    for child in network.children():
        takes_mask = "x_mask" in child.forward.__code__.co_varnames if hasattr(child.forward, "__code__") else False
        if _is_wide(child) or (takes_mask and any(map(_is_wide, child.modules()))):
            yield child
        else:
            yield from _outermost(child)


def _is_wide(module: nn.Module) -> bool:
    """Whether a module is a convolution that looks beyond one place."""
    return isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)) and module.kernel_size != (1,)
