"""The same side of every kink on both sides.

A leaky ReLU has two slopes, and the sign of its input decides. Where the input is within rounding of zero, two runs
that agree to the last bit but one take different slopes, and every gradient before that place shifts by one sample's
worth: in MultiPeriodDiscriminator, a single such element of some 40 million moves a layer's gradient by 50 to 60 dB.
Either run is right. So the reference run records the decisions, as it records noise, and the port's run takes the same
ones. The values are not replaced: where the port's input really differs, its results show it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Slope = Callable[[Sequence[Any], dict[str, Any]], Any]


def _second(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return kwargs.get("negative_slope", args[1] if len(args) > 1 else 0.01)


def _zero(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return 0.0


_KINKED: dict[Any, Slope] = {
    functional.leaky_relu: _second,
    functional.relu: _zero,
    torch.relu: _zero,
    Tensor.relu: _zero,
}


class RecordKinks(TorchFunctionMode):
    """Records which elements of each rectifier's input are positive; `masks` holds them in order."""

    def __init__(self) -> None:
        """Nothing is recorded before the block begins."""
        super().__init__()
        self.masks: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _KINKED and isinstance(_input(args, kwargs), Tensor):
            self.masks.append((_input(args, kwargs).detach() > 0).cpu())
        return func(*args, **kwargs)


class ReplayKinks(TorchFunctionMode):
    """Rectifies with the recorded decisions, by shape, first in, first out; what was not recorded goes through."""

    def __init__(self, masks: Iterable[Tensor]) -> None:
        """`masks` are boolean, on the CPU."""
        super().__init__()
        self._waiting: dict[tuple[int, ...], deque[Tensor]] = defaultdict(deque)
        for mask in masks:
            self._waiting[tuple(mask.shape)].append(mask)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = _input(args, kwargs) if func in _KINKED else None
        if not isinstance(given, Tensor) or not self._waiting[tuple(given.shape)]:
            return func(*args, **kwargs)
        mask = self._waiting[tuple(given.shape)].popleft().to(given.device)
        slope = _KINKED[func](args, kwargs)
        return torch.where(mask, given, given * slope if slope else torch.zeros_like(given))


def _input(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")
