"""Time folded into channels: the same convolution, in values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.runtime.ops import folding

from .graphs import compare, decibels, run

_ROUNDING = 280  # decibels of float64


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_unfolding_takes_folding_back(factor: int, channels: int, blocks: int) -> None:
    signal = torch.randn(2, channels, factor * blocks)
    folded = folding.fold(signal, factor)
    assert folded.shape == (2, factor * channels, blocks)
    assert torch.equal(folded[:, :channels], signal[..., ::factor])
    assert torch.equal(folding.unfold(folded, factor), signal)


@settings(deadline=None)
@given(
    factor=st.sampled_from([1, 2, 3, 4, 8]),
    stride=st.sampled_from([1, 1, 2, 3]),
    reach=st.integers(0, 6),
    dilation=st.integers(1, 5),
    with_bias=st.booleans(),
)
def test_a_convolution_of_a_folded_signal_is_the_convolution_folded(
    factor: int, stride: int, reach: int, dilation: int, with_bias: bool
) -> None:
    x = torch.randn(2, 3, 24 * stride, dtype=torch.double)
    weight, bias = torch.randn(5, 3, 2 * reach + 1, dtype=torch.double), torch.randn(5, dtype=torch.double)

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        used = bias if with_bias else None
        return F.conv1d(x, weight, used, stride, reach * dilation, dilation) + 0 * bias.sum()

    def folded(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        used = bias if with_bias else None
        phases = folding.fold(x, stride * factor)
        found = folding.conv1d(
            phases, weight, used, stride=stride, padding=reach * dilation, dilation=dilation, factor=factor
        )
        return folding.unfold(found, factor) + 0 * bias.sum()

    wanted = plain(x, weight, bias)
    slope = torch.randn_like(wanted)
    compare(run(folded, (x, weight, bias), slope), run(plain, (x, weight, bias), slope), _ROUNDING)


@settings(deadline=None)
@given(
    factor=st.sampled_from([1, 2, 4]),
    stride=st.integers(1, 10),
    padding=st.integers(0, 5),
)
def test_a_transposed_convolution_leaves_its_phases_folded(factor: int, stride: int, padding: int) -> None:
    x = torch.randn(2, 3, 8, dtype=torch.double)
    weight, bias = torch.randn(3, 5, stride + 2 * padding, dtype=torch.double), torch.randn(5, dtype=torch.double)

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose1d(x, weight, bias, stride, padding)

    def folded(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        phases = folding.fold(x, factor)
        found = folding.conv_transpose1d(phases, weight, bias, stride=stride, padding=padding, factor=factor)
        return folding.unfold(found, stride * factor)

    wanted = plain(x, weight, bias)
    slope = torch.randn_like(wanted)
    compare(run(folded, (x, weight, bias), slope), run(plain, (x, weight, bias), slope), _ROUNDING)


def test_a_length_that_does_not_fold_is_refused() -> None:
    with pytest.raises(RuntimeError):
        folding.fold(torch.zeros(1, 2, 7), 2)


def test_in_float32_only_the_order_of_sums_differs() -> None:
    x, weight = torch.randn(2, 16, 640), torch.randn(16, 16, 11) / 13
    wanted = F.conv1d(x, weight, None, padding=25, dilation=5)
    found = folding.unfold(folding.conv1d(folding.fold(x, 8), weight, None, padding=25, dilation=5, factor=8), 8)
    assert decibels(found, wanted) > 130
