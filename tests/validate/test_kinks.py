"""Sharing the side of a kink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from porter.runtime import ops
from porter.runtime.ops import features, feed_forward, folding, residual, twins
from porter.validate.kinks import RecordKinks, ReplayKinks
from porter.validate.noise import RecordNoise, ReplayNoise

SLOPES = torch.tensor([0.25])
RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "leaky_relu keyword": lambda x: F.leaky_relu(input=x, negative_slope=0.1),
    "leaky_relu in place": lambda x: F.leaky_relu(x, 0.1, True),
    "leaky_relu inplace": lambda x: F.leaky_relu(x, 0.1, inplace=True),
    "leaky_relu keywords": lambda x: F.leaky_relu(input=x, inplace=True),
    "the port's leaky_relu": lambda x: ops.leaky_relu(x, 0.1),
    "the port's relu": lambda x: ops.relu(x),
    "leaky_relu_": lambda x: F.leaky_relu_(x, 0.1),
    "relu": F.relu,
    "torch.relu": torch.relu,
    "relu_": lambda x: x.relu_(),
    "LeakyReLU": nn.LeakyReLU(0.1),
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "prelu": lambda x: F.prelu(x, SLOPES),
}
UPSTREAM = [1.0, -2.0, 1e-9, -1e-9, 0.5]
PORT = [1.0, -2.0, -1e-9, 1e-9, 0.5]  # two elements on the other side, by rounding


def run(rectify: Callable[[Tensor], Tensor], values: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Result, what the input became, and the gradient."""
    leaf = torch.tensor(values, requires_grad=True)
    x = leaf * 1
    result = rectify(x)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return result.detach(), x.detach(), leaf.grad


@pytest.mark.parametrize("name", RECTIFIERS)
def test_inputs_within_rounding_take_the_recorded_side(name: str) -> None:
    rectify = RECTIFIERS[name]
    with RecordKinks() as recorded, RecordNoise():
        expected = run(rectify, UPSTREAM)
    assert not torch.equal(run(rectify, PORT)[2], expected[2])
    with ReplayKinks(recorded.masks), ReplayNoise([]) as noise:
        got = run(rectify, PORT)
    assert torch.equal(got[2], expected[2])
    assert not noise.findings()
    for new, old in zip(got[:2], expected[:2], strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", RECTIFIERS)
def test_inputs_that_differ_keep_their_side(name: str) -> None:
    rectify = RECTIFIERS[name]
    other = [1.0, 2.0, 1e-9, -1e-9, -0.5]
    with RecordKinks() as recorded:
        run(rectify, UPSTREAM)
    with ReplayKinks(recorded.masks):
        got = run(rectify, other)
    for new, old in zip(got, run(rectify, other), strict=True):
        assert torch.equal(new, old)


def test_what_was_not_recorded_goes_through() -> None:
    with ReplayKinks([]):
        got = run(RECTIFIERS["relu"], PORT)
    assert torch.equal(got[2], run(RECTIFIERS["relu"], PORT)[2])


def _on_the_kink(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An input half of which is rounding, and the same on the other sides of zero."""
    given = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    given.view(-1)[::2] *= 1e-9
    other = given.clone()
    other.view(-1)[::2] *= -1
    return given, other


def test_a_signal_folded_by_the_port_takes_the_recorded_sides() -> None:
    given, other = _on_the_kink(2, 4, 12)
    with RecordKinks() as recorded:
        wanted = F.leaky_relu(given, 0.1)
    with ReplayKinks(recorded.masks):
        found = ops.leaky_relu(folding.fold(other, 3), 0.1)
    assert torch.equal(folding.unfold(found, 3) > 0, wanted > 0)


def test_two_passes_stacked_by_the_port_take_the_sides_of_both() -> None:
    (first, first_other), (second, second_other) = _on_the_kink(2, 4, 6), _on_the_kink(2, 4, 6)
    second, second_other = -second, -second_other
    with RecordKinks() as recorded:
        wanted = [[F.leaky_relu(value, slope) for slope in (0.1, 0.2)] for value in (first, second)]
    with ReplayKinks(recorded.masks):
        stacked = torch.cat([first_other, second_other])
        found = [F.leaky_relu(stacked, slope) for slope in (0.1, 0.2)]
    for i in range(2):
        assert torch.equal(found[i] > 0, torch.cat([wanted[0][i], wanted[1][i]]) > 0)


@pytest.mark.xla
def test_a_chain_in_one_kernel_takes_the_recorded_sides() -> None:
    pytest.importorskip("jax", reason="kernels are written with jax")
    first, second = nn.Conv1d(128, 128, 1), nn.Conv1d(128, 128, 1)
    for layer in (first, second):
        nn.init.zeros_(layer.weight)
        assert layer.bias is not None
        nn.init.constant_(layer.bias, 1e-9)
    nn.init.dirac_(first.weight)
    given = torch.full((1, 128, 8), -1e-9)
    with RecordKinks() as recorded:
        F.leaky_relu(torch.ones(1, 128, 8), 0.5)
        F.leaky_relu(torch.ones(1, 128, 8), 0.5)
    found = {}
    for name, masks in (("recorded", recorded.masks), ("own", [])):
        x = given.clone().requires_grad_()
        with ops.device_forms(tpu=True), ReplayKinks(masks):
            result: Any = residual.residual_on_chip(x, [(first,), (second,)], 0.5)
        result.sum().backward()
        assert x.grad is not None
        found[name] = x.grad.mean().item()
    assert found == {"recorded": pytest.approx(2.0), "own": pytest.approx(1.5)}


@pytest.mark.xla
def test_layers_whose_results_are_wanted_take_the_recorded_sides() -> None:
    pytest.importorskip("jax", reason="kernels are written with jax")
    layer = nn.Conv1d(128, 128, 1)
    nn.init.dirac_(layer.weight)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, 1e-9)
    given = torch.full((1, 128, 8), -2e-9)
    with RecordKinks() as recorded:
        F.leaky_relu(torch.ones(1, 128, 8), 0.5)
    found = {}
    for name, masks in (("recorded", recorded.masks), ("own", [])):
        x = given.clone().requires_grad_()
        with ops.device_forms(tpu=True), ReplayKinks(masks):
            results: Any = features.features_on_chip(x, [layer], 0.5)
        (result,) = results
        result.sum().backward()
        assert x.grad is not None
        found[name] = x.grad.mean().item()
    assert found == {"recorded": pytest.approx(1.0), "own": pytest.approx(0.5)}


@pytest.mark.xla
def test_a_rectifier_between_two_layers_in_one_kernel_takes_the_recorded_side() -> None:
    pytest.importorskip("jax", reason="kernels are written with jax")
    first, second = nn.Conv1d(1, 2, 1, bias=False), nn.Conv1d(2, 1, 1, bias=False)
    nn.init.ones_(first.weight)
    nn.init.ones_(second.weight)
    given = torch.tensor([[[1.0, 1e-9, -1.0]]])
    upper = torch.tensor([[[True, False, False], [True, True, False]]])
    found = {}
    for name, masks in (("recorded", [upper]), ("own", [])):
        x = given.clone().requires_grad_()
        with ops.device_forms(tpu=True), ReplayKinks(masks):
            result: Any = feed_forward.feed_forward_on_chip(x, first, second)
        result.sum().backward()
        assert x.grad is not None
        found[name] = x.grad.flatten().tolist()
    assert found == {"recorded": [2.0, 1.0, 0.0], "own": [2.0, 2.0, 0.0]}


@pytest.mark.parametrize("time", [21, 24])
def test_a_folded_twin_takes_the_recorded_side_too(time: int) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, time, 2, generator=generator)
    folded = folding.fold(F.pad(values, (0, 0, 0, -time % 4)), 4)
    recorded = values > 0
    recorded[:, 0, 1], folded[:, 3] = True, folded[:, 3].clone()
    folded[:, 3, 0] = -1e-9  # phase 1 of channel 0: sample 1, on the other side by rounding
    signal = twins.unfolded(folded, 4, time)
    with ReplayKinks([recorded]):
        result = ops.leaky_relu(signal, 0.1)
    twin = twins.folded(result)
    assert twin is not None
    assert torch.equal(folding.unfold(twin.signal, 4)[:, :, :time], result)
    assert (result[:, 0, 1] > 0).all()
