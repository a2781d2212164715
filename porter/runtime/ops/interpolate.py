"""`F.interpolate` over the last axis of [B, C, T], without the kernels that XLA has no lowering for."""

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from .. import utils
from .forms import wants_device_form
from .stand_in import StandIn

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DTYPES = {
    "nearest": (*_FLOATS, torch.uint8),
    "nearest-exact": (*_FLOATS, torch.uint8),
    "linear": _FLOATS,
}  # what torch's kernels of these modes know


def interpolate(
    input: torch.Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> torch.Tensor:
    """Resample [B, C, T] to [B, C, size] or [B, C, floor(T * scale_factor)]; arguments as in torch.

    The modes "nearest", "nearest-exact" and "linear" of 3-D input have an XLA form, which picks the very positions
    that torch picks; any other mode, rank or dtype goes to `F.interpolate`, and so does what that turns down.
    """
    given = (input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    length = _device_length(*given)
    if length < 1:
        return F.interpolate(*given)
    factor = None if scale_factor is None or recompute_scale_factor else float(_single(scale_factor))
    if mode == "linear":
        return _linear(input, length, factor, bool(align_corners))
    return _nearest(input, length, factor, 0.5 if mode == "nearest-exact" else 0.0)


def upsample(
    input: torch.Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> torch.Tensor:
    """`F.upsample`, with its notice: the older name of `interpolate`."""
    notice = "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead."
    warnings.warn(notice, stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


class Upsample(nn.Upsample, metaclass=StandIn):
    """`nn.Upsample` over `interpolate`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Resample [B, C, T] over T."""
        return interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )


def _device_length(
    input: torch.Tensor,
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool,
) -> int:
    """The result's length where there is an XLA form; less than 1 where torch's own is to be taken, or to raise."""
    known = input.dim() == 3 and input.dtype in _DTYPES.get(mode, ()) and not antialias
    odd = (mode != "linear" and align_corners is not None) or (recompute_scale_factor and size is not None)
    if not known or odd or not input.numel() or not wants_device_form(input):
        return 0
    return _plain_length(size, scale_factor, input.shape[-1])


def _single(value: Any) -> Any:
    """The one number of what torch takes for one axis; None if there are several."""
    if isinstance(value, (list, tuple)):
        return value[0] if len(value) == 1 else None
    return value


def _plain_length(size: int | Sequence[int] | None, scale_factor: float | Sequence[float] | None, length: int) -> int:
    """The result's length; less than 1 for arguments that torch turns down."""
    wanted, factor = _single(size), _single(scale_factor)
    if scale_factor is None:
        whole = isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool)
        return int(wanted) if whole else 0
    real = isinstance(factor, (int, float)) and not isinstance(factor, bool) and math.isfinite(factor)
    return int(length * factor) if real and size is None else 0


def _nearest(input: torch.Tensor, length: int, factor: float | None, shift: float) -> torch.Tensor:
    source = input.shape[-1]
    way, step = _nearest_way(source, length, factor, shift)
    if not shift and factor is not None and length in (source, 2 * source) and way != "repeat":
        there, back = (_nearest_constant(source, length, by, shift, input.device) for by in (factor, None))
        result: torch.Tensor = _Nearest.apply(input, there, back)  # type: ignore[no-untyped-call]
        return result
    if way == "repeat" and step == 1:
        return input.clone()
    if way == "repeat":
        return input.unsqueeze(-1).expand(*input.shape, step).reshape(*input.shape[:-1], length)
    if way == "skip":
        return input[..., : (length - 1) * step + 1 : step].clone()
    return input.index_select(-1, _nearest_constant(source, length, factor, shift, input.device))


class _Nearest(torch.autograd.Function):
    """Nearest interpolation by a factor other than 1 or 2 that happens to keep or double the length (5 x 1.1).

    torch's backward kernel takes other positions than its forward then: those of the lengths alone.
    """

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, there: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(back)
        ctx.source = input.shape[-1]
        return input.index_select(-1, there)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        empty = gradient.new_zeros(*gradient.shape[:-1], ctx.source)
        return empty.index_add(-1, ctx.saved_tensors[0], gradient), None, None


def nearest_positions(source: int, length: int, factor: float | None, shift: float = 0.0) -> npt.NDArray[np.int64]:
    """Where each of `length` results of nearest interpolation is read, in a row of `source` values.

    In float32, as torch's kernel does it (aten/src/ATen/native/UpSample.h): other precision picks other
    neighbours. `shift` is 0, or 0.5 for the mode that reads where the middle of a result is.
    """
    step = _step(source, length, factor, np.dtype(np.float32))
    place = np.floor((np.arange(length, dtype=np.float32) + np.float32(shift)) * step).astype(np.int64)
    return np.minimum(place, source - 1)


@functools.lru_cache(maxsize=1024)
def _nearest_way(source: int, length: int, factor: float | None, shift: float) -> tuple[str, int]:
    positions = nearest_positions(source, length, factor, shift)
    place = np.arange(length)
    if length % source == 0 and np.array_equal(positions, place // (length // source)):
        return "repeat", length // source
    stride = int(positions[1]) if length > 1 else 1
    if stride > 0 and np.array_equal(positions, place * stride):
        return "skip", stride
    return "gather", 0


@functools.lru_cache(maxsize=256)
def _nearest_constant(
    source: int, length: int, factor: float | None, shift: float, device: torch.device
) -> torch.Tensor:
    return utils.constant(torch.from_numpy(nearest_positions(source, length, factor, shift)), device)


def _linear(input: torch.Tensor, length: int, factor: float | None, align_corners: bool) -> torch.Tensor:
    wide = torch.promote_types(input.dtype, torch.float32)
    left, right, weight, rest = _linear_constants(input.shape[-1], length, factor, align_corners, input.device, wide)
    wider = input.to(wide)
    mixed = wider.index_select(-1, left) * rest + wider.index_select(-1, right) * weight
    return mixed.to(input.dtype)


@functools.lru_cache(maxsize=256)
def _linear_constants(
    source: int,
    length: int,
    factor: float | None,
    align_corners: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `linear_positions` gives, as data on the device."""
    real: np.dtype[np.floating] = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
    arrays = linear_positions(source, length, factor, align_corners, real)
    sent = [utils.constant(torch.from_numpy(array), device) for array in arrays]
    return sent[0], sent[1], sent[2], sent[3]


def linear_positions(
    source: int, length: int, factor: float | None, align_corners: bool, real: np.dtype[np.floating]
) -> tuple[npt.NDArray[Any], ...]:
    """Left and right neighbour of each of `length` results, the right one's weight and the left one's, in `real`."""
    place = np.arange(length).astype(real)
    if length == source:  # whatever the factor: torch's linear kernel, unlike its nearest one, copies then
        where = place
    elif align_corners:
        step = real.type(source - 1) / real.type(length - 1) if length > 1 else real.type(0)
        where = place * step
    else:
        half = real.type(0.5)
        where = np.maximum(_step(source, length, factor, real) * (place + half) - half, real.type(0))
    left = np.minimum(where.astype(np.int64), source - 1)
    right = np.minimum(left + 1, source - 1)
    weight = np.clip(where - left.astype(real), 0, 1).astype(real)
    return left, right, weight, real.type(1) - weight


def _step(source: int, length: int, factor: float | None, real: np.dtype[np.floating]) -> np.floating:
    """How far the read position moves with each result: by the factor if there is one, else the lengths."""
    if factor is not None and factor > 0:
        return real.type(1.0 / factor)
    return real.type(source) / real.type(length)
