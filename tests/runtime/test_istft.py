"""Inverse short-time Fourier transforms, and complex numbers as pairs, against torch's complex tensors."""

import pytest
import torch

from porter.runtime import ops

from .graphs import check_operation

CASES = [
    {"n_fft": 16, "hop_length": 4, "win_length": 16},
    {"n_fft": 20, "hop_length": 3, "win_length": 15, "normalized": True},
    {"n_fft": 15, "hop_length": 5, "win_length": 15, "length": 31},
    {"n_fft": 8},
]


def window(case: dict[str, object]) -> torch.Tensor:
    return torch.hann_window(int(str(case.get("win_length", case["n_fft"])))) + 0.1


@pytest.mark.xla
@pytest.mark.parametrize("case", CASES, ids=str)
def test_signals_and_gradients_reach_120_decibels(case: dict[str, object]) -> None:
    torch.manual_seed(0)
    frequencies = int(str(case["n_fft"])) // 2 + 1
    check_operation(
        lambda m, p, w: ops.istft(ops.phasor_parts(m, p), window=w, **case),  # type: ignore[arg-type]
        lambda m, p, w: torch.istft(m * torch.exp(p * 1j), window=w, **case),  # type: ignore[arg-type]
        torch.rand(2, frequencies, 9) + 0.1,
        torch.randn(2, frequencies, 9),
        window(case),
        least=120,
    )


@pytest.mark.xla
def test_a_complex_spectrum_is_inverted_whatever_it_was_made_of() -> None:
    torch.manual_seed(0)
    check_operation(
        lambda m, p, w: ops.istft(ops.view_as_real((m * torch.exp(p * 1j)).conj()), 12, 3, window=w),
        lambda m, p, w: torch.istft((m * torch.exp(p * 1j)).conj(), 12, 3, window=w),
        torch.rand(2, 7, 9) + 0.1,
        torch.randn(2, 7, 9),
        torch.hann_window(12) + 0.1,
        least=120,
    )


@pytest.mark.xla
def test_a_spectrum_without_a_batch_or_a_window_is_inverted() -> None:
    check_operation(
        lambda parts: ops.istft(parts, 12, 3),
        lambda parts: torch.istft(torch.view_as_complex(parts), 12, 3),
        torch.randn(7, 6, 2),
        least=120,
    )


def test_what_torch_turns_down_it_turns_down_in_the_device_form_too() -> None:
    spectrum = torch.randn(1, 9, 5, 2)
    for given in (
        {"win_length": 16, "hop_length": 20},
        {"n_fft": 14},
        {"center": False, "window": torch.hann_window(16)},
    ):
        with pytest.raises(RuntimeError), ops.device_forms():
            ops.istft(spectrum, **{"n_fft": 16, **given})  # type: ignore[arg-type]


@pytest.mark.xla
def test_magnitudes_and_angles_are_those_of_complex_numbers() -> None:
    parts = torch.randn(3, 50, 2)
    parts[0, :4] = torch.tensor([[0.0, 0.0], [-0.0, 0.0], [-1.0, -0.0], [0.0, 2.0]])
    for ours, original in ((ops.complex_abs, torch.abs), (ops.complex_angle, torch.angle)):
        check_operation(ours, lambda x, f=original: f(torch.view_as_complex(x)), parts, least=125)


@pytest.mark.xla
def test_polar_coordinates_become_pairs() -> None:
    check_operation(
        ops.polar_parts,
        lambda m, p: torch.view_as_real(torch.polar(m, p)),
        torch.rand(2, 30),
        torch.randn(2, 30),
        least=125,
    )


@pytest.mark.xla
def test_sinc_has_the_values_and_slopes_of_torch() -> None:
    check_operation(ops.sinc, torch.sinc, torch.cat([torch.linspace(-4, 4, 41), torch.zeros(1)]), least=110)
