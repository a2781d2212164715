"""`F.interpolate` over the last axis of [B, C, T], without the kernels that XLA has no lowering for."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from .. import utils
from .forms import wants_device_form


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

    The modes "nearest" and "linear" of 3-D input have an XLA form, which picks the very positions that torch
    picks; any other mode or rank goes to `F.interpolate`.
    """
    length = None
    if input.dim() == 3 and mode in ("nearest", "linear") and not antialias and wants_device_form(input):
        length = _plain_length(size, scale_factor, input.shape[-1])
    if length is None or length < 1 or (mode == "nearest" and align_corners is not None):
        return F.interpolate(
            input,
            size,
            scale_factor,
            mode,
            align_corners,
            recompute_scale_factor,
            antialias,
        )
    factor = None if scale_factor is None or recompute_scale_factor else _single(scale_factor)
    if mode == "nearest":
        return _nearest(input, length, factor)
    return _linear(input, length, factor, bool(align_corners))


class Upsample(nn.Upsample):
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


def _single(value: float | Sequence[float]) -> float:
    return float(value[0]) if isinstance(value, Sequence) else float(value)


def _plain_length(
    size: int | Sequence[int] | None, scale_factor: float | Sequence[float] | None, length: int
) -> int | None:
    """The result's length, or None for arguments that torch turns down."""
    given = size if scale_factor is None else scale_factor
    if given is None or (size is not None and scale_factor is not None):
        return None
    if isinstance(given, Sequence) and len(given) != 1:
        return None
    return int(_single(given)) if scale_factor is None else math.floor(length * _single(given))


def _nearest(input: torch.Tensor, length: int, factor: float | None) -> torch.Tensor:
    way, step = _nearest_way(input.shape[-1], length, factor)
    if way == "repeat":
        return input.unsqueeze(-1).expand(*input.shape, step).reshape(*input.shape[:-1], length)
    if way == "skip":
        return input[..., : (length - 1) * step + 1 : step].clone()
    return input.index_select(-1, _nearest_constant(input.shape[-1], length, factor, input.device))


def nearest_positions(source: int, length: int, factor: float | None) -> npt.NDArray[np.int64]:
    """Where each of `length` results of nearest interpolation is read, in a row of `source` values.

    In float32, as torch's kernel does it (aten/src/ATen/native/UpSample.h): other precision picks other
    neighbours. Where a factor other than 1 or 2 happens to keep or double the length (5 x 1.1), torch's
    backward kernel takes other positions than its forward; gradients here always follow the forward.
    """
    step = _step(source, length, factor, np.dtype(np.float32))
    place = np.floor(np.arange(length, dtype=np.float32) * step).astype(np.int64)
    return np.minimum(place, source - 1)


@functools.lru_cache(maxsize=1024)
def _nearest_way(source: int, length: int, factor: float | None) -> tuple[str, int]:
    positions = nearest_positions(source, length, factor)
    place = np.arange(length)
    if length % source == 0 and np.array_equal(positions, place // (length // source)):
        return "repeat", length // source
    stride = int(positions[1]) if length > 1 else 1
    if stride > 0 and np.array_equal(positions, place * stride):
        return "skip", stride
    return "gather", 0


@functools.lru_cache(maxsize=256)
def _nearest_constant(source: int, length: int, factor: float | None, device: torch.device) -> torch.Tensor:
    return utils.constant(torch.from_numpy(nearest_positions(source, length, factor)), device)


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
    """Left and right neighbour of each result, the right one's weight and the left one's."""
    real: np.dtype[np.floating] = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
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
    arrays = (left, right, weight, real.type(1) - weight)
    sent = [utils.constant(torch.from_numpy(array), device) for array in arrays]
    return sent[0], sent[1], sent[2], sent[3]


def _step(source: int, length: int, factor: float | None, real: np.dtype[np.floating]) -> np.floating:
    """How far the read position moves with each result: by the factor if there is one, else the lengths."""
    if factor is not None and factor > 0:
        return real.type(1.0 / factor)
    return real.type(source) / real.type(length)
