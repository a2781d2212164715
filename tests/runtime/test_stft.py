import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.runtime import ops, utils

from .graphs import check_operation, decibels, device

CASES = [
    {"n_fft": 640, "hop_length": 160, "win_length": 640},
    {"n_fft": 512, "hop_length": 160, "win_length": 400, "center": False},
    {"n_fft": 256, "hop_length": 100, "win_length": 255, "normalized": True},
    {"n_fft": 129, "win_length": 129, "onesided": False, "pad_mode": "constant"},
]


def complex_stft(x: torch.Tensor, window: torch.Tensor, **case: object) -> torch.Tensor:
    return torch.stft(x, window=window, return_complex=True, **case)  # type: ignore[arg-type]


@pytest.mark.xla
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_reach_110_decibels(case: dict[str, object]) -> None:
    check_operation(
        lambda x, window: ops.stft(x, window=window, return_complex=False, **case),  # type: ignore[arg-type]
        lambda x, window: torch.view_as_real(complex_stft(x, window, **case)),
        torch.randn(2, 3000),
        torch.hann_window(int(str(case["win_length"]))),
        least=115,
    )


@pytest.mark.xla
@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_magnitudes_and_their_gradients_reach_110_decibels(case: dict[str, object]) -> None:
    torch.manual_seed(0)
    check_operation(
        lambda x, window: ops.stft_magnitude(x, window=window, **case),  # type: ignore[arg-type]
        lambda x, window: complex_stft(x, window, **case).abs(),
        torch.randn(2, 3000),
        torch.hann_window(int(str(case["win_length"]))),
        least=110,
    )


@pytest.mark.xla
def test_silence_has_magnitude_and_gradient_zero() -> None:
    check_operation(
        lambda x: ops.stft_magnitude(x, 64, window=torch.hann_window(64, device=x.device)),
        lambda x: complex_stft(x, torch.hann_window(64), n_fft=64).abs(),
        torch.zeros(1, 400),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 80), st.integers(1, 90), st.integers(0, 300), st.booleans(), st.booleans(), st.booleans())
def test_any_sizes_give_the_shape_and_values_of_torch(
    n_fft: int, hop: int, surplus: int, center: bool, normalized: bool, single: bool
) -> None:
    x = torch.randn(n_fft + surplus).double() if single else torch.randn(2, n_fft + surplus).double()
    window = torch.rand(n_fft).double()
    case = {"n_fft": n_fft, "hop_length": hop, "center": center, "normalized": normalized}
    with ops.device_forms():
        ours = ops.stft(x, window=window, return_complex=False, **case)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, torch.view_as_real(complex_stft(x, window, **case)))


def test_a_complex_result_and_its_real_view_are_torchs_on_the_cpu() -> None:
    x, window = torch.randn(1, 300), torch.hann_window(64)
    wanted = complex_stft(x, window, n_fft=64)
    assert torch.equal(ops.stft(x, 64, window=window, return_complex=True), wanted)
    assert torch.equal(ops.stft_as_real(x, 64, window=window), torch.view_as_real(wanted))


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_fft": 64, "hop_length": 0, "window": torch.ones(64)},
        {"n_fft": 64, "win_length": 65, "window": torch.ones(65)},
        {"n_fft": 64, "window": torch.ones(63)},
        {"n_fft": 4000, "center": False, "window": torch.ones(4000)},
    ],
)
def test_lengths_that_do_not_fit_raise_as_in_torch(arguments: dict[str, object]) -> None:
    for forced in (False, True):
        with pytest.raises(RuntimeError):
            if forced:
                with ops.device_forms():
                    ops.stft(torch.randn(1, 300), **arguments)  # type: ignore[arg-type]
            else:
                ops.stft(torch.randn(1, 300), **arguments)  # type: ignore[arg-type]


@pytest.mark.xla
def test_autocast_does_not_cost_precision() -> None:
    x, window = torch.randn(2, 900), torch.hann_window(128)
    wanted = torch.view_as_real(complex_stft(x, window, n_fft=128))
    with utils.autocast():
        ours = ops.stft_as_real(utils.constant(x, device()), 128, window=utils.constant(window, device()))
    assert decibels(ours, wanted) > 110
