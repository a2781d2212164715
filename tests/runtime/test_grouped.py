"""Convolutions of few channels or many groups, in the layout of a TPU."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from porter.runtime import ops, utils
from porter.runtime.ops import grouped

from .graphs import assert_stays_on_device, compare, decibels, device, run

_ROUNDING = 270  # decibels of float64


@settings(deadline=None)
@given(
    factor=st.sampled_from([1, 2, 3]),
    groups=st.sampled_from([(1, 1), (4, 1), (4, 2), (4, 4)]),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    padding=st.integers(0, 9),
    time=st.integers(11, 30),
    bias=st.booleans(),
)
def test_every_layout_is_the_convolution(
    factor: int, groups: tuple[int, int], stride: int, dilation: int, padding: int, time: int, bias: bool
) -> None:
    count, blocks = groups
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": count}
    layout = grouped.Layout(factor if blocks == 1 else 1, blocks)
    x, weight = torch.randn(2, 8, time).double(), torch.randn(12, 8 // count, 4).double()
    given = (x, weight, torch.randn(12).double()) if bias else (x, weight)

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return F.conv1d(x, weight, bias, **options)

    def ours(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return grouped.conv1d(x, weight, bias, **options, layout=layout)

    slope = torch.randn_like(plain(*given))
    compare(run(ours, given, slope), run(plain, given, slope), _ROUNDING)


@pytest.mark.parametrize(
    ("channels", "out", "groups", "stride", "wanted"),
    [
        (1, 16, 1, 1, (16, 1)),
        (16, 64, 4, 4, (4, 1)),
        (64, 256, 16, 4, (1, 1)),
        (256, 1024, 64, 4, (1, 8)),
        (1024, 1024, 256, 4, (1, 32)),
        (1024, 1024, 1, 1, None),  # full as it is
        (1024, 1, 1, 1, None),
        (192, 192, 192, 1, None),  # a channel each
        (512, 512, 4, 1, None),
    ],
)
def test_a_layout_fills_the_lanes(channels: int, out: int, groups: int, stride: int, wanted: object) -> None:
    assert grouped.fitting(channels, out, groups, stride) == wanted


class Chain(nn.Module):
    """Grouped convolutions of growing width over a signal of one channel."""

    def __init__(self, kind: type[nn.Conv1d] = ops.Conv1d) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ops.weight_norm(kind(i, o, k, u, groups=g, padding=k // 2))
            for i, o, k, u, g in ((1, 8, 15, 1, 1), (8, 32, 11, 4, 2), (32, 320, 11, 4, 8), (320, 320, 11, 4, 80))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = ops.leaky_relu(conv(x), 0.1)
        return x


def pair() -> tuple[Chain, Chain]:
    plain, ours = Chain(nn.Conv1d), Chain()
    ours.load_state_dict(plain.state_dict(), strict=True)
    return ours, plain


def test_on_the_cpu_it_is_torchs_own() -> None:
    ours, plain = pair()
    x = torch.randn(2, 1, 203)
    assert torch.equal(ours(x), plain(x))
    assert repr(ours) == repr(plain)
    assert torch.equal(copy.deepcopy(ours)(x), plain(x))


def test_in_a_tpus_form_values_and_gradients_are_the_same() -> None:
    ours, plain = (network.double() for network in pair())
    x, slope = torch.randn(2, 1, 203).double(), torch.randn(2, 320, 4).double()
    wanted = run(plain, (x,), slope)
    with ops.device_forms(tpu=True):
        compare(run(ours, (x,), slope), wanted, _ROUNDING)
    for p, q in zip(plain.parameters(), ours.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None
        assert decibels(q.grad, p.grad) > 250


@pytest.mark.parametrize("options", [{"padding": "same"}, {"padding_mode": "circular", "padding": 2}, {}], ids=str)
def test_other_paddings_and_unbatched_signals_stay_torchs(options: dict[str, Any]) -> None:
    ours = ops.Conv1d(4, 8, 5, groups=2, **options)
    plain = nn.Conv1d(4, 8, 5, groups=2, **options)
    plain.load_state_dict(ours.state_dict(), strict=True)
    for x in (torch.randn(2, 4, 9), torch.randn(4, 9)):
        with ops.device_forms(tpu=True):
            assert decibels(ours(x), plain(x)) > 120


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 3, 9)])
def test_what_torch_refuses_is_refused_in_its_words(shape: tuple[int, ...]) -> None:
    ours, x = ops.Conv1d(4, 8, 5, groups=2), torch.randn(shape)
    with pytest.raises(RuntimeError) as wanted:
        nn.Conv1d(4, 8, 5, groups=2)(x)
    with ops.device_forms(tpu=True), pytest.raises(RuntimeError) as found:
        ours(x)
    assert str(found.value) == str(wanted.value)


@pytest.mark.xla
def test_on_xla_it_is_one_graph_with_the_same_values_and_gradients() -> None:
    ours, plain = pair()
    x, slope = torch.randn(2, 1, 203), torch.randn(2, 320, 4)
    wanted = run(plain, (x,), slope)
    ours = ours.to(device())
    sent, sent_slope = utils.constant(x, device()), utils.constant(slope, device())

    def step() -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        ours.zero_grad()  # gradients that are added to others make another graph
        return run(ours, (sent,), sent_slope)

    with ops.device_forms(tpu=True):
        assert_stays_on_device(step)
        compare(step(), wanted, 100)
