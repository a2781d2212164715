"""The same side of every kink on both sides.

A leaky ReLU has two slopes, and the sign of its input decides. Where the input is within rounding of zero, two runs
that agree to the last bit but one take different slopes, and every gradient before that place shifts by one sample's
worth: in MultiPeriodDiscriminator, a single such element of some 40 million moves a layer's gradient by 50 to 60 dB.
Either run is right. So the reference run records the decisions, as it records noise, and the port's run takes the same
ones, but only where its own input is within rounding of zero: where it really differs, its results show it. A kernel
that holds a chain of rectifiers is given their sides whole, which a wrong input does not survive either.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .coverage import unseen
from .supplied import supplied
from .waiting import is_waiting

_KINKED = frozenset(
    {
        *(functional.leaky_relu, functional.leaky_relu_, functional.relu, functional.relu_, functional.prelu),
        *(torch.relu, torch.relu_, torch.prelu, Tensor.relu, Tensor.relu_, Tensor.prelu),
    }
)
_FUSED = {"chained": "residual", "fed": "feed_forward", "featured": "features"}  # functions of kernels, by file
_ROUNDING = 3e-5  # of the input's rms; what XLA computes differs from eager results by some 1e-6 of it
_TWIN = "_sovits_port_folded"  # the mark of a signal that has a folded twin
_BARELY = 1e-30  # a normal number in float32


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
        if _kind(func) == "rectifier":
            self.masks.append((_input(args, kwargs).detach() > 0).cpu())
        return func(*args, **kwargs)


class ReplayKinks(TorchFunctionMode):
    """Moves inputs within rounding of zero to the recorded side; by shape, first in, first out.

    A port may have time folded into channels, or two batches stacked that upstream had in two passes; their masks are
    laid out likewise. What was not recorded goes through. Inputs away from zero keep their side, so that masks of the
    same shape in another order do no harm.
    """

    def __init__(self, masks: Iterable[Tensor]) -> None:
        """`masks` are boolean, on the CPU."""
        super().__init__()
        self._waiting: dict[tuple[int, ...], deque[Tensor]] = defaultdict(deque)
        for mask in masks:
            self._waiting[tuple(mask.shape)].append(mask)
        self._asked: list[tuple[Any, int]] = []  # functions that tensors which wait are about to answer

    @contextmanager
    def _asking(self, func: Any, waiting: Any) -> Iterator[None]:
        """While a tensor that waits answers: where it asks torch's own for its shape, say, that is no new question."""
        self._asked.append((func, id(waiting)))
        try:
            yield
        finally:
            self._asked.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        kind = _kind(func)
        kernel = {"chained": self._chained, "fed": self._fed, "featured": self._featured}.get(kind)
        if kernel is not None:
            return kernel(func, *args)
        waiting = next((value for value in args if is_waiting(value)), None)
        if waiting is not None and (func, id(waiting)) not in self._asked:
            with self, self._asking(func, waiting):  # what it has computed, if anything, passes here too
                return waiting.__torch_function__(func, types, args, kwargs)
        return self._rectified(func, args, kwargs) if kind == "rectifier" else func(*args, **kwargs)

    def _rectified(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A rectifier whose input is moved to the sides that were recorded, if any were."""
        given = _input(args, kwargs)
        mask = self._recorded(tuple(given.shape))
        if mask is None:
            return func(*args, **kwargs)
        moved = _moved(given, mask.to(given.device))
        _move_twin(given, moved)
        result = func(*((moved, *args[1:]) if args else ()), **(kwargs if args else {**kwargs, "input": moved}))
        return given.copy_(result) if _in_place(func, args, kwargs) else result

    def _chained(
        self,
        func: Callable[..., Any],
        signal: Tensor,
        weights: Sequence[Tensor],
        *others: Any,
    ) -> Any:
        """A chain of residual layers in one kernel, with a rectifier before each of its weights."""
        masks = [self._recorded(tuple(signal.shape)) for _ in weights]
        sides = [supplied(mask.to(signal.device, signal.dtype)) for mask in masks if mask is not None]
        return func(signal, weights, *others[:-1], sides if len(sides) == len(masks) else ())

    def _fed(self, func: Callable[..., Any], signal: Tensor, *others: Any) -> Any:
        """Two convolutions in one kernel, with a rectifier between them."""
        *given, plan, _ = others
        with unseen():
            shape = plan.batch, plan.inner, plan.times[1]
        mask = self._recorded(shape)
        return func(signal, *given, plan, None if mask is None else supplied(mask.to(signal.device)))

    def _featured(
        self, func: Callable[..., Any], signal: Tensor, shapes: Sequence[tuple[int, ...]], *others: Any
    ) -> Any:
        """Convolutions in kernels, with a rectifier after each, whose results have these shapes."""
        masks = [self._recorded(tuple(shape)) for shape in shapes]
        sides = [supplied(mask.to(signal.device)) for mask in masks if mask is not None]
        return func(signal, shapes, *others[:-1], sides if len(sides) == len(masks) else ())

    def _recorded(self, shape: tuple[int, ...]) -> Tensor | None:
        """The next mask for an input of this shape, no longer waiting."""
        waiting = self._queue(shape)
        if waiting is not None:
            return _laid_out(waiting.popleft(), shape)
        half = (shape[0] // 2, *shape[1:]) if shape and shape[0] % 2 == 0 else None
        waiting = self._queue(half) if half is not None else None
        if half is None or waiting is None or len(waiting) % 2:
            return None
        # Upstream made all of its first pass before the second.
        first, second = waiting.popleft(), waiting[len(waiting) // 2]
        del waiting[len(waiting) // 2]
        return torch.cat([_laid_out(mask, half) for mask in (first, second)])

    def _queue(self, shape: tuple[int, ...]) -> deque[Tensor] | None:
        """Masks of this shape that wait; else of a signal that is folded to it."""
        if self._waiting.get(shape):
            return self._waiting[shape]
        folded = (masks for recorded, masks in self._waiting.items() if masks and _folds(recorded, shape))
        return next(folded, None)


@lru_cache(maxsize=1 << 12)  # asked of each operation
def _kind(func: Callable[..., Any]) -> str:
    """What a function is: a "rectifier", torch's or the package's own, or one of its kernels that have some inside."""
    if func in _KINKED or _is_ours(func, "leaky_relu", "recomputed"):
        return "rectifier"
    return next((name for name, module in _FUSED.items() if _is_ours(func, name, module)), "")


def _is_ours(func: Callable[..., Any], name: str, module: str) -> bool:
    """Whether a function is this one of the package's runtime, wherever that was imported from."""
    return func.__name__ == name and str(getattr(func, "__module__", "")).endswith(f".ops.{module}")


def _folds(plain: tuple[int, ...], folded: tuple[int, ...]) -> bool:
    """Whether [B, C, T] may have become [B, factor * C, T / factor]."""
    if len(plain) != 3 or len(folded) != 3 or plain[0] != folded[0] or folded[1] % plain[1]:
        return False
    return plain[2] == folded[2] * (folded[1] // plain[1])


def _laid_out(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """[B, C, T] -> [B, factor * C, T / factor], channel `phase * C + c`; a mask of this shape as it is."""
    if mask.shape == shape:
        return mask
    batch, channels, time = mask.shape
    factor = shape[1] // channels
    return mask.reshape(batch, channels, time // factor, factor).permute(0, 3, 1, 2).reshape(shape)


def _moved(given: Tensor, positive: Tensor) -> Tensor:
    """`given`, on the recorded side where it is within rounding of zero; its gradient goes through unchanged."""
    with torch.no_grad():
        near = given.abs() <= _ROUNDING * given.square().mean().sqrt()
        wrong = near & (positive != (given > 0))
        side = torch.where(positive, _BARELY, -_BARELY).to(given.dtype)
    return torch.where(wrong, given - given.detach() + side, given)


def _move_twin(given: Tensor, moved: Tensor) -> None:
    """Give `moved` the folded twin of `given`, if it has one (the runtime's twins.py), with the same sides taken.

    Without it the layers that go on with the twin would take the plain signal: other code than without the judge.
    """
    twin = getattr(given, _TWIN, None)
    if twin is None or twin.version != given._version:
        return
    wrong = (moved.detach() != given.detach()).to(given.dtype)
    value = moved.detach() * wrong
    missing = twin.signal.shape[2] * twin.factor - given.shape[2]
    wrong, value = (_folded(functional.pad(part, _after_time(part, missing)), twin.factor) for part in (wrong, value))
    signal = torch.where(wrong > 0, twin.signal - twin.signal.detach() + value, twin.signal)
    setattr(moved, _TWIN, twin._replace(signal=signal, version=moved._version))


def _after_time(value: Tensor, count: int) -> list[int]:
    """What `pad` takes to put `count` zeros behind the third axis."""
    return [0, 0] * (value.dim() - 3) + [0, count]


def _folded(value: Tensor, factor: int) -> Tensor:
    """[B, C, T, ...] -> [B, factor * C, T / factor, ...], channel `phase * C + c`."""
    batch, channels, time, *rest = value.shape
    phases = value.reshape(batch, channels, time // factor, factor, *rest)
    return phases.movedim(3, 1).reshape(batch, factor * channels, time // factor, *rest)


def _in_place(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a rectifier writes into its input; `inplace` is the last argument of all that have it."""
    last = bool(args) and args[-1] is True
    return last or kwargs.get("inplace") is True or func.__name__.endswith("_")


def _input(args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
    given = args[0] if args else kwargs["input"]
    assert isinstance(given, Tensor)
    return given
