"""Complex numbers as pairs of real ones, [..., 2]: XLA has complex tensors, but no gradients of them."""

import torch

from .forms import wants_device_form


def complex_abs(parts: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_complex(parts).abs()` of [..., 2]: [...]; its gradient at 0 is 0."""
    if not wants_device_form(parts):
        return torch.view_as_complex(parts).abs()
    power = parts.square().sum(-1)
    silent = power == 0
    # The root's slope at 0 is infinite: keep 0 out of it, in the backward pass too.
    return torch.where(silent, torch.ones_like(power), power).sqrt().masked_fill(silent, 0.0)


def complex_angle(parts: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_complex(parts).angle()` of [..., 2]: [...], radians; its gradient at 0 is 0."""
    if not wants_device_form(parts):
        return torch.view_as_complex(parts).angle()
    real, imag = parts.unbind(-1)
    silent = (real == 0) & (imag == 0)
    angle = torch.atan2(torch.where(silent, 0.0, imag), torch.where(silent, 1.0, real))
    return torch.where(silent, torch.atan2(imag, real).detach(), angle)  # as the signs of its zeros have it


def phasor_parts(magnitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_real(magnitude * torch.exp(phase * 1j))`, `phase` in radians: [..., 2]."""
    if not wants_device_form(magnitude, phase):
        return torch.view_as_real(magnitude * torch.exp(phase * 1j))
    return _turned(magnitude, phase)


def complex_parts(real: torch.Tensor, imag: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_real(torch.complex(real, imag))`: [..., 2]. What torch turns down, it raises for."""
    if not wants_device_form(real, imag) or real.dtype != imag.dtype:
        return torch.view_as_real(torch.complex(real, imag))
    shape = (real + imag).shape
    return torch.stack([real.expand(shape), imag.expand(shape)], -1)


def view_as_real(spectrum: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_real`, of conjugated and negated views too: complex [...] -> real [..., 2]."""
    return torch.view_as_real(torch.resolve_neg(torch.resolve_conj(spectrum)))


def polar_parts(abs: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """`torch.view_as_real(torch.polar(abs, angle))`, `angle` in radians: [..., 2]."""
    if not wants_device_form(abs, angle):
        return torch.view_as_real(torch.polar(abs, angle))
    return _turned(torch.where(abs == 0, abs.detach(), abs), angle)  # torch gives nothing of 0 a gradient


def _turned(magnitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
    return torch.stack([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], -1)
