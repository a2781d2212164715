"""A decoder whose late stages stay folded, and activations that are computed again."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops, utils

from .graphs import compare, decibels, device, run


class Decoder(nn.Module):
    """32 channels, then 16 and 8, the last convolution gives one."""

    def __init__(self, activation: Callable[..., torch.Tensor] = ops.leaky_relu) -> None:
        super().__init__()
        self.bend = activation
        self.ups = nn.ModuleList(
            ops.weight_norm(nn.ConvTranspose1d(c, c // 2, 2 * u, u, padding=u // 2)) for c, u in ((32, 4), (16, 2))
        )
        self.blocks = nn.ModuleList(
            ops.weight_norm(nn.Conv1d(c, c, 3, dilation=d, padding=d)) for c in (16, 8) for d in (1, 3)
        )
        self.last = nn.Conv1d(8, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, up in enumerate(self.ups):
            x = up(self.bend(x, 0.1))
            x = self.blocks[2 * i](self.bend(x, 0.1)) + self.blocks[2 * i + 1](self.bend(x, 0.1)) + x
        return torch.tanh(self.last(self.bend(x)))


def folded(decoder: Decoder) -> Decoder:
    ops.fold_time(decoder.ups, decoder.blocks, decoder.last)
    return decoder


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 32, 6, generator=torch.Generator().manual_seed(0))


def test_on_the_cpu_a_folded_decoder_runs_what_it_ran(x: torch.Tensor) -> None:
    plain = Decoder(F.leaky_relu)
    wanted = list(plain.state_dict())
    ours = folded(copy.deepcopy(plain))
    assert list(ours.state_dict()) == wanted
    ours.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(ours(x), plain(x))
    assert repr(plain.last) in repr(ours.last).replace("LastFolded", "")


def test_in_a_tpus_form_values_and_gradients_are_the_same(x: torch.Tensor) -> None:
    plain = Decoder(F.leaky_relu).double()
    ours = folded(copy.deepcopy(plain))
    ours.bend = ops.leaky_relu
    slope = torch.randn(2, 1, 48, dtype=torch.double)
    wanted = run(plain, (x.double(),), slope)
    with ops.device_forms(tpu=True):
        compare(run(ours, (x.double(),), slope), wanted, 280)
    for (name, p), q in zip(plain.named_parameters(), ours.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None, name
        assert decibels(q.grad, p.grad) > 260, name


def test_in_a_tpus_form_the_late_stages_are_folded(x: torch.Tensor) -> None:
    decoder = folded(Decoder())
    seen: list[tuple[int, ...]] = []
    for layer in (*decoder.ups, *decoder.blocks, decoder.last):
        layer.register_forward_hook(lambda layer, inputs, result: seen.append(tuple(result.shape)))
    with ops.device_forms(tpu=True):
        decoder(x)
    assert seen == [(2, 64, 6), (2, 64, 6), (2, 64, 6), (2, 64, 6), (2, 64, 6), (2, 64, 6), (2, 1, 48)]


def test_a_frozen_layer_gets_no_gradient(x: torch.Tensor) -> None:
    decoder = folded(Decoder())
    decoder.last.weight.requires_grad_(False)
    with ops.device_forms(tpu=True):
        decoder(x).sum().backward()
    assert decoder.last.weight.grad is None
    assert decoder.last.bias is not None and decoder.last.bias.grad is not None


def test_signals_of_other_channels_are_refused(x: torch.Tensor) -> None:
    decoder = folded(Decoder())
    with ops.device_forms(tpu=True), pytest.raises(RuntimeError, match="expected 32 channels"):
        decoder(x[:, :31])


@pytest.mark.parametrize("odd", [nn.Conv1d(8, 8, 4, padding=2), nn.BatchNorm1d(8), nn.Conv1d(8, 8, 3, 2, 1)])
def test_a_layer_that_a_folded_signal_cannot_pass_keeps_all_plain(odd: nn.Module) -> None:
    decoder = Decoder()
    decoder.blocks.append(odd)
    assert {type(layer) for layer in folded(decoder).ups} == {nn.ConvTranspose1d}


def test_weight_norm_can_still_be_taken_off(x: torch.Tensor) -> None:
    decoder = folded(Decoder())
    before = decoder(x)
    for layer in (*decoder.ups, *decoder.blocks):
        ops.remove_weight_norm(layer)
    assert decibels(decoder(x), before) > 120
    with ops.device_forms(tpu=True):
        assert decibels(decoder(x), before) > 120


def test_under_autocast_the_gradient_is_that_of_the_same_precision(x: torch.Tensor) -> None:
    plain = Decoder(F.leaky_relu)
    ours = folded(copy.deepcopy(plain))
    ours.bend = ops.leaky_relu
    found = []
    for network, tpu in ((plain, False), (ours, True)):
        with ops.device_forms(tpu=tpu), torch.autocast("cpu", dtype=torch.bfloat16):
            result = network(x)
        result.float().square().mean().backward()
        assert network.last.weight.grad is not None and network.last.weight.grad.dtype == torch.float32
        found.append((result.float(), network.last.weight.grad))
    assert decibels(found[1][0], found[0][0]) > 30
    assert decibels(found[1][1], found[0][1]) > 30


def test_what_was_written_to_is_not_computed_again(x: torch.Tensor) -> None:
    ours, plain = folded(Decoder()).double(), nn.Conv1d(16, 16, 3, padding=1).double()
    layer = ours.blocks[0]
    assert isinstance(layer, nn.Conv1d)
    ops.remove_weight_norm(layer)
    plain.load_state_dict(layer.state_dict())
    found = []
    for convolution, bend in ((layer, ops.leaky_relu), (plain, F.leaky_relu)):
        with ops.device_forms(tpu=True):
            bent = bend(x.double().reshape(2, 16, 12).requires_grad_(), 0.1)
            bent += 1
            convolution(bent).square().sum().backward()
        assert convolution.weight.grad is not None
        found.append(convolution.weight.grad)
    assert decibels(found[0], found[1]) > 250


@pytest.mark.xla
def test_on_xla_a_tpus_form_gives_the_same_values_and_gradients(x: torch.Tensor) -> None:
    torch.manual_seed(1)  # a bias's gradient is one number, of which some networks leave little
    plain = Decoder(F.leaky_relu)
    ours = folded(copy.deepcopy(plain)).to(device())
    ours.bend = ops.leaky_relu
    slope = torch.randn(2, 1, 48)
    wanted = run(plain, (x,), slope)
    with ops.device_forms(tpu=True):
        found = run(ours, (utils.constant(x, device()),), utils.constant(slope, device()))
    compare(found, wanted, 100)
    for (name, p), q in zip(plain.named_parameters(), ours.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None, name
        assert decibels(q.grad, p.grad) > 90, name
