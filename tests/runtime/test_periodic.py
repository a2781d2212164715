"""Convolutions over the columns of a period whose first stages stay folded."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops, utils
from porter.runtime.ops import twins

from .graphs import assert_stays_on_device, compare, decibels, device, run

_ROUNDING = 260  # decibels of float64


class Critic(nn.Module):
    """A signal of one channel, seen in columns of 3 samples; all layers' activations are results."""

    def __init__(self, kind: type[nn.Conv2d] = ops.Conv2d, stride: int = 3, out: int = 32) -> None:
        super().__init__()
        sizes = ((1, out), (out, 64), (64, 96))
        self.convs = nn.ModuleList(ops.weight_norm(kind(i, o, (5, 1), (stride, 1), padding=(2, 0))) for i, o in sizes)
        self.bend = F.leaky_relu if kind is nn.Conv2d else ops.leaky_relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(len(x), 1, -1, 3)
        seen = []
        for conv in self.convs:
            x = self.bend(conv(x), 0.1)
            seen.append(x.flatten())
        return torch.cat(seen)


def pair(stride: int = 3, out: int = 32) -> tuple[Critic, Critic]:
    plain, ours = Critic(nn.Conv2d, stride, out), Critic(ops.Conv2d, stride, out)
    ours.load_state_dict(plain.state_dict(), strict=True)
    return ours, plain


def test_on_the_cpu_it_is_torchs_own() -> None:
    ours, plain = pair()
    x = torch.randn(2, 3 * 50)
    assert torch.equal(ours(x), plain(x))
    assert repr(ours) == repr(plain)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("out", [8, 20, 32, 200])
@pytest.mark.parametrize("time", [1, 2, 49, 50, 51, 52, 53, 54, 55])
def test_in_a_tpus_form_values_and_gradients_are_the_same(stride: int, out: int, time: int) -> None:
    ours, plain = (network.double() for network in pair(stride, out))
    x = torch.randn(2, 3 * time).double()
    slope = torch.randn_like(plain(x))
    wanted = run(plain, (x,), slope)
    with ops.device_forms(tpu=True):
        compare(run(ours, (x,), slope), wanted, _ROUNDING)
    for p, q in zip(plain.parameters(), ours.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None
        assert decibels(q.grad, p.grad) > 240


def test_the_second_layer_takes_the_folded_signal_of_the_first() -> None:
    ours, _ = pair()
    with ops.device_forms(tpu=True):
        first = ops.leaky_relu(ours.convs[0](torch.randn(2, 1, 50, 3)), 0.1)
        twin = twins.folded(first)
        assert first.shape == (2, 32, 17, 3)
        assert twin is not None and twin.signal.shape == (2, 96, 6, 3)
        assert twins.folded(ours.convs[1](first)) is None


def test_a_signal_that_was_written_to_has_no_twin() -> None:
    ours, plain = pair()
    x = torch.randn(2, 1, 50, 3)
    with ops.device_forms(tpu=True), torch.no_grad():
        first = ours.convs[0](x)
        assert twins.folded(first) is not None
        first += 1
        assert twins.folded(first) is None
        assert decibels(ours.convs[1](first), plain.convs[1](plain.convs[0](x) + 1)) > 110
        bent = ops.leaky_relu(ours.convs[0](x), 0.1, True)
        assert twins.folded(bent) is None
        assert decibels(bent, F.leaky_relu(plain.convs[0](x), 0.1)) > 110


@pytest.mark.parametrize(
    "layer",
    [ops.Conv2d(1, 4, 3), ops.Conv2d(1, 4, (3, 1), (1, 2)), ops.Conv2d(1, 4, (3, 1), padding="same")],
    ids=str,
)
def test_other_kernels_are_torchs_own(layer: nn.Conv2d) -> None:
    x = torch.randn(2, 1, 9, 9)
    wanted = layer(x)
    with ops.device_forms(tpu=True):
        assert torch.equal(layer(x), wanted)


@pytest.mark.xla
def test_on_xla_it_is_one_graph_with_the_same_values_and_gradients() -> None:
    ours, plain = pair()
    x = torch.randn(2, 150)
    slope = torch.randn_like(plain(x))
    wanted = run(plain, (x,), slope)
    ours = ours.to(device())
    sent, sent_slope = utils.constant(x, device()), utils.constant(slope, device())

    def step() -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        ours.zero_grad()  # gradients that are added to others make another graph
        return run(ours, (sent,), sent_slope)

    with ops.device_forms(tpu=True):
        assert_stays_on_device(step)
        compare(step(), wanted, 100)
