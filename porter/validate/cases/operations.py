"""Torch's own in the place of the emitted runtime's operations, for networks of the judge's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

def _spectrum(*given: Any, **named: Any) -> Tensor:
    return torch.view_as_real(torch.stft(*given, **{**named, "return_complex": True}))


def _magnitude(*given: Any, **named: Any) -> Tensor:
    return torch.stft(*given, **{**named, "return_complex": True}).abs()


def _from_parts(parts: Tensor, *given: Any, **named: Any) -> Tensor:
    return torch.istft(torch.view_as_complex(parts), *given, **named)


TORCHS = SimpleNamespace(
    Conv1d=nn.Conv1d,
    Conv2d=nn.Conv2d,
    Dropout=nn.Dropout,
    GLU=nn.GLU,
    Upsample=nn.Upsample,
    amax=torch.amax,
    amin=torch.amin,
    bincount=torch.bincount,
    cdist=torch.cdist,
    complex_abs=lambda parts: torch.view_as_complex(parts).abs(),
    complex_angle=lambda parts: torch.view_as_complex(parts).angle(),
    complex_parts=lambda real, imag: torch.view_as_real(torch.complex(real, imag)),
    cumsum=torch.cumsum,
    fold_time=lambda *layers: None,
    fused=lambda forward: forward,
    glu=F.glu,
    interpolate=F.interpolate,
    inverse=torch.inverse,
    istft=_from_parts,
    leaky_relu=F.leaky_relu,
    logdet=torch.logdet,
    matmul=torch.matmul,
    phasor_parts=lambda magnitude, phase: torch.view_as_real(magnitude * torch.exp(phase * 1j)),
    polar_parts=lambda abs, angle: torch.view_as_real(torch.polar(abs, angle)),
    relu=F.relu,
    scaled_dot_product_attention=F.scaled_dot_product_attention,
    sinc=torch.sinc,
    stft_as_real=_spectrum,
    stft_magnitude=_magnitude,
    upsample=F.upsample,
    weight_norm=nn.utils.weight_norm,
)
