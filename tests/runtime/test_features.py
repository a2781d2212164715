"""Chains of convolutions in one kernel, against the layers one by one: values and gradients."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops import features, forms
from porter.validate.kinks import RecordKinks, ReplayKinks

from .graphs import assert_stays_on_device, decibels, device

pytestmark = pytest.mark.xla

WIDTHS = (1, 8, 128, 256, 128)


class Chain(nn.Module):
    """Convolutions of columns, the first of few channels."""

    def __init__(
        self,
        kernel: int = 5,
        stride: int = 3,
        flat: bool = False,
        bias: bool = True,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.layers = nn.ModuleList()
        for i, (given, gives) in enumerate(pairwise(widths)):
            step = 1 if i == 3 else stride
            if flat:
                layer: nn.Module = nn.Conv1d(given, gives, kernel, step, padding, bias=bias)
            else:
                layer = ops.Conv2d(given, gives, (kernel, 1), (step, 1), (padding, 0), bias=bias)
            # of one number a channel, the direction has no gradient but what rounding leaves
            self.layers.append(layer if kernel == 1 and i == 0 else ops.weight_norm(layer))

    @property
    def left(self) -> bool:
        """Whether no kernel stood for the layers."""
        return not any(one.kernel for one in ops.fusions(self))

    @ops.fused
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            found.append(x)
        return found


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def run(chain: Chain, x: torch.Tensor) -> list[torch.Tensor]:
    """All results, and all gradients."""
    chain.zero_grad(set_to_none=True)
    x = x.detach().clone().requires_grad_()
    found = chain(x)
    torch.stack([result.float().sin().sum() for result in found]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [leaf.grad for leaf in (x, *chain.parameters())]
    return [*(result.detach() for result in found), *(g for g in gradients if g is not None)]


def check(chain: Chain, x: torch.Tensor, least: float = 105) -> None:
    plain = copy.deepcopy(chain)
    with RecordKinks() as recorded:
        wanted = run(plain, x)
    assert plain.left
    with ops.device_forms(tpu=True), ReplayKinks(recorded.masks):
        found = run(chain, x)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one, other) > least


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers each kernel had."""
    torch.manual_seed(0)
    found = []
    original = features._Chain.forward

    def noted(ctx: object, plan: Any, *given: torch.Tensor) -> features.Results:
        found.append(len(plan.layers))
        return original(ctx, plan, *given)

    monkeypatch.setattr(features._Chain, "forward", staticmethod(noted))
    return found


@pytest.mark.parametrize(("time", "columns"), [(81, 1), (81, 2), (100, 5)])
def test_columns_do_not_see_each_other(time: int, columns: int, ran: list[int]) -> None:
    check(Chain(), noise(2, 1, time, columns))
    assert ran == [3]


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (7, 4), (1, 1), (4, 3)])
def test_kernels_and_strides(kernel: int, stride: int, ran: list[int]) -> None:
    check(Chain(kernel, stride), noise(2, 1, 150, 3))
    assert ran == [3]


@pytest.mark.parametrize(
    ("widths", "chains"),
    [((1, 128, 128), [1]), ((1, 64, 128, 128), [2]), ((2, 8, 128, 256), [2]), ((1, 12, 128, 256), [1]), ((1, 16), [])],
)
def test_widths(widths: tuple[int, ...], chains: list[int], ran: list[int]) -> None:
    chain = Chain(widths=widths)
    x = noise(2, widths[0], 100, 2)
    if chains:
        check(chain, x)
    else:
        with ops.device_forms(tpu=True):
            chain(x)
        assert chain.left
    assert ran == chains


def test_signals_without_columns(ran: list[int]) -> None:
    check(Chain(flat=True, bias=False), noise(3, 1, 170))
    assert ran == [3]


def test_a_signal_of_several_parts(ran: list[int]) -> None:
    check(Chain(stride=2), noise(1, 1, 600, 3))
    assert ran == [3]


def test_autocast_rounds_where_torch_does() -> None:
    chain, x = Chain(), noise(2, 1, 100, 2)
    exact = run(copy.deepcopy(chain), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = run(copy.deepcopy(chain), x)
        with ops.device_forms(tpu=True):
            found = run(chain, x)
    for one, other, true in zip(found, wanted, exact, strict=True):
        assert one.dtype == other.dtype
        assert decibels(one.float(), true) > decibels(other.float(), true) - 5


def test_too_large_for_the_chip_runs_layer_by_layer(monkeypatch: pytest.MonkeyPatch, ran: list[int]) -> None:
    monkeypatch.setattr(forms, "kernel_memory", lambda: 1000)
    check(Chain(), noise(2, 1, 100, 2))
    assert not ran


def test_as_many_kernels_as_the_chip_needs(monkeypatch: pytest.MonkeyPatch, ran: list[int]) -> None:
    monkeypatch.setattr(forms, "kernel_memory", lambda: 4 << 20)
    check(Chain(), noise(2, 1, 100, 2))
    assert ran == [1, 2]


def test_a_slope_that_turns_signs_runs_layer_by_layer(ran: list[int]) -> None:
    signal, layers = noise(1, 128, 16), [nn.Conv1d(128, 128, 1)]
    with ops.device_forms(tpu=True):
        assert isinstance(features.features_on_chip(signal, layers, -0.1), str)
    assert not ran


def test_what_a_loss_does_not_see_has_no_gradient(ran: list[int]) -> None:
    layers = [nn.Conv1d(128, 128, 1), nn.Conv1d(128, 128, 1)]
    with ops.device_forms(tpu=True):
        found: Any = features.features_on_chip(noise(1, 128, 16), layers, 0.1)
    found[0].sum().backward()
    assert ran == [2]
    assert [layer.weight.grad is None for layer in layers] == [False, True]


class Standardised(nn.Conv1d):
    """A convolution of some other weight."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return F.conv1d(input, weight - weight.mean(), bias)


def test_whatever_is_more_than_a_convolution_is_called(ran: list[int]) -> None:
    spectral: Any = nn.utils.parametrizations.spectral_norm(nn.Conv1d(128, 128, 1))
    before = spectral.parametrizations.weight[0]._u.clone()
    own: Any = nn.Conv1d(128, 128, 1)
    own.forward = abs
    double = nn.Conv1d(128, 128, 1).double()
    signal = noise(1, 128, 16)
    for layer in (spectral, own, double, Standardised(128, 128, 1)):
        with ops.device_forms(tpu=True):
            assert isinstance(features.features_on_chip(signal, [layer], 0.1), str)
    with ops.device_forms(tpu=True):
        assert isinstance(features.features_on_chip(signal[:0], [nn.Conv1d(128, 128, 1)], 0.1), str)
        handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
        try:
            assert isinstance(features.features_on_chip(signal, [nn.Conv1d(128, 128, 1)], 0.1), str)
        finally:
            handle.remove()
    assert torch.equal(spectral.parametrizations.weight[0]._u, before)
    assert not ran


def test_a_module_of_another_dtype_than_its_last_weight(ran: list[int]) -> None:
    layer = ops.weight_norm(nn.Conv1d(128, 128, 1).bfloat16()).float()
    with ops.device_forms(tpu=True):
        found = features.features_on_chip(noise(1, 128, 16), [layer], 0.1)
    assert not isinstance(found, str)
    (result,) = found
    assert result.dtype == torch.float32
    assert ran == [1]


def test_a_layer_with_a_hook_is_called(ran: list[int]) -> None:
    chain, called = Chain(), []
    chain.layers[3].register_forward_hook(lambda *_: called.append(1))
    with ops.device_forms(tpu=True):
        run(chain, noise(2, 1, 100, 2))
    assert called == [1]
    assert not ran


def test_sides_decide(ran: list[int]) -> None:
    chain, x = Chain(), noise(2, 1, 100, 2)
    masks: list[torch.Tensor] = []
    original = features.featured

    def sided(signal: torch.Tensor, shapes: Any, head: Any, chains: Any) -> features.Results:
        masks[:] = [result <= 0 for result in original(signal, shapes, head, chains)]
        return original(signal, shapes, head, chains, [mask.float() for mask in masks])

    with ops.device_forms(tpu=True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "featured", sided)
        found = run(chain, x)
    plain = copy.deepcopy(chain)
    signal = x
    for i, layer in enumerate(plain.layers):
        signal = layer(signal)
        signal = torch.where(masks[i], signal, signal * 0.1)
        assert decibels(found[i], signal.detach()) > 110


class Grouped(Chain):
    """Convolutions in groups, as a discriminator of whole signals has."""

    def __init__(self, stride: int) -> None:
        nn.Module.__init__(self)
        widths, groups = (1, 16, 64, 256, 512, 512), (1, 4, 16, 32, 128)
        self.layers = nn.ModuleList()
        for (given, gives), count in zip(pairwise(widths), groups, strict=True):
            step = stride if count > 1 else 1
            self.layers.append(ops.weight_norm(ops.Conv1d(given, gives, 11, step, groups=count, padding=5)))


@pytest.mark.parametrize(("stride", "time"), [(4, 1024), (2, 333)])
def test_groups(stride: int, time: int, ran: list[int]) -> None:
    check(Grouped(stride), noise(2, 1, time))
    assert ran == [4]


def test_on_xla_one_graph_holds_it() -> None:
    chain, x = Chain(), noise(2, 1, 100, 2)
    wanted = run(copy.deepcopy(chain), x)
    chain, x = chain.to(device()), x.to(device())
    with ops.device_forms(tpu=True):
        found = run(chain, x)
        assert_stays_on_device(lambda: run(chain, x))
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one.cpu(), other) > 100
