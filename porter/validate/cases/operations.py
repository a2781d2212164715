"""Torch's own in the place of the emitted runtime's operations, for networks of the judge's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NEVER = -1e9  # what a step costs that no path makes
Bound = int | Tensor  # a number, or one for each sample


def runtime_module(ops: Any, name: str) -> Any:
    """A module of the runtime that emitted operations belong to: `training.sounds`."""
    return importlib.import_module(f"{ops.__name__.rpartition('.')[0]}.{name}")


def _spectrum(*given: Any, **named: Any) -> Tensor:
    return torch.view_as_real(torch.stft(*given, **{**named, "return_complex": True}))


def _magnitude(*given: Any, **named: Any) -> Tensor:
    return torch.stft(*given, **{**named, "return_complex": True}).abs()


def _from_parts(parts: Tensor, *given: Any, **named: Any) -> Tensor:
    return torch.istft(torch.view_as_complex(parts), *given, **named)


def _masked_write(target: Tensor, mask: Tensor, value: float | Tensor) -> Tensor:
    target[mask] = value[mask] if isinstance(value, Tensor) and value.dim() else value
    return target


def _spans(like: Tensor, start: Bound, end: Bound) -> list[slice]:
    """The range of each sample of `like`."""
    count = len(like)
    bounds = [bound.tolist() if isinstance(bound, Tensor) else [bound] * count for bound in (start, end)]
    return [slice(first, last) for first, last in zip(*bounds, strict=True)]


def _fill_ranges(target: Tensor, value: float | Tensor, start: Bound, end: Bound) -> Tensor:
    for row, span in enumerate(_spans(target, start, end)):
        target[row, ..., span] = value
    return target


def _copy_ranges(target: Tensor, source: Tensor, start: Bound, end: Bound) -> Tensor:
    for row, span in enumerate(_spans(target, start, end)):
        target[row, ..., span] = source[row, ..., span]
    return target


def _range_mask(length: int, start: Bound, end: Bound) -> Tensor:
    count = len(start) if isinstance(start, Tensor) else 1
    return _fill_ranges(torch.zeros(count, length, dtype=torch.bool), 1, start, end)


def _ranged(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A loss of each sample over its range."""

    def found(prediction: Tensor, target: Tensor, start: Bound, end: Bound) -> Tensor:
        spans = zip(prediction, target, _spans(prediction, start, end), strict=True)
        return torch.stack([loss(one[..., span], other[..., span]) for one, other, span in spans])

    return found


def _maximum_path(value: Tensor, mask: Tensor) -> Tensor:
    """The path of each sample, as VITS searches it on the host; value and mask are [b, frames, tokens]."""
    found = torch.zeros_like(value)
    for row, (scores, inside) in enumerate(zip(value.float(), mask, strict=True)):
        frames, tokens = int(inside[:, 0].sum()), int(inside[0].sum())
        found[row, :frames, :tokens] = _path(scores[:frames, :tokens])
    return found


def _path(scores: Tensor) -> Tensor:
    """Ones where the monotonic path of the greatest sum goes through [frames, tokens]; ties go to the later token."""
    frames, tokens = scores.shape
    sums, path = scores.clone(), torch.zeros_like(scores)
    for y in range(frames):
        for x in range(max(0, tokens + y - frames), min(tokens, y + 1)):
            stay = _NEVER if x == y else sums[y - 1, x]
            begin = 0.0 if y == 0 else _NEVER
            sums[y, x] += torch.as_tensor(stay).maximum(torch.as_tensor(begin if x == 0 else sums[y - 1, x - 1]))
    at = tokens - 1
    for y in reversed(range(frames)):
        path[y, at] = 1
        if at > 0 and (at == y or sums[y - 1, at] < sums[y - 1, at - 1]):
            at -= 1
    return path


def _segments(x: Tensor, starts: Tensor, size: int) -> Tensor:
    for start in starts.tolist():
        if not 0 <= start <= x.shape[-1] - size:
            raise IndexError
    return torch.stack([row[..., start : start + size] for row, start in zip(x, starts.tolist(), strict=True)])


TORCHS = SimpleNamespace(
    Conv1d=nn.Conv1d,
    Conv2d=nn.Conv2d,
    Dropout=nn.Dropout,
    GLU=nn.GLU,
    LSTM=nn.LSTM,
    Upsample=nn.Upsample,
    amax=torch.amax,
    amin=torch.amin,
    bincount=torch.bincount,
    cdist=torch.cdist,
    complex_abs=lambda parts: torch.view_as_complex(parts).abs(),
    complex_angle=lambda parts: torch.view_as_complex(parts).angle(),
    complex_parts=lambda real, imag: torch.view_as_real(torch.complex(real, imag)),
    copy_ranges_=_copy_ranges,
    cumsum=torch.cumsum,
    fill_ranges_=_fill_ranges,
    fold_time=lambda *layers: None,
    fused=lambda forward: forward,
    glu=F.glu,
    interpolate=F.interpolate,
    inverse=torch.inverse,
    istft=_from_parts,
    leaky_relu=F.leaky_relu,
    logdet=torch.logdet,
    masked_write_=_masked_write,
    matmul=torch.matmul,
    maximum_path=_maximum_path,
    parametrized_spectral_norm=nn.utils.parametrizations.spectral_norm,
    parametrized_weight_norm=nn.utils.parametrizations.weight_norm,
    phasor_parts=lambda magnitude, phase: torch.view_as_real(magnitude * torch.exp(phase * 1j)),
    polar_parts=lambda abs, angle: torch.view_as_real(torch.polar(abs, angle)),
    range_mask=_range_mask,
    ranges_l1=_ranged(F.l1_loss),
    ranges_mse=_ranged(F.mse_loss),
    relu=F.relu,
    remove_weight_norm=nn.utils.remove_weight_norm,
    scaled_dot_product_attention=F.scaled_dot_product_attention,
    sinc=torch.sinc,
    slice_segments=_segments,
    static_max=lambda lengths: lengths.max().item(),
    stft_as_real=_spectrum,
    stft_magnitude=_magnitude,
    upsample=F.upsample,
    weight_norm=nn.utils.weight_norm,
)
