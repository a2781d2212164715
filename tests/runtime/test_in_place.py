"""Parameters that something else holds, on the way to XLA and back."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import ops

from .graphs import device


class Plain:
    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.register_buffer("table", torch.arange(3.0))
        ops.keep_in_place(self, self.layer.weight)
        self.held = Plain(self.layer.weight)
        ops.keep_in_place(self, self.table, {"bias": [self.layer.bias]})
        self.kept: dict[str, Any] = {"table": self.table, "bias": [self.layer.bias]}
        ops.keep_in_place(self, self.layer.weight)
        self.other.weight = self.layer.weight
        ops.keep_in_place(self, self.other.parameters())
        self.all = list(self.other.parameters())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x @ self.held.weight + self.kept["table"] + self.kept["bias"][0]
        summed = torch.stack([p.sum() for p in self.all]).sum()
        return torch.add(self.layer(y), self.other(y)) + summed


def results(net: Net, to: Any) -> list[torch.Tensor]:
    """The result and the gradients, by name, on the host."""
    net.zero_grad()
    y = net(torch.linspace(-1, 1, 6).reshape(2, 3).to(to))
    torch.autograd.backward(y.square().sum())
    return [y.detach().cpu(), *(p.grad.cpu() for p in net.parameters() if p.grad is not None)]


def moved_alone(net: Net) -> nn.Module:
    for part in (net.layer, net.other):
        part.to(device())
    net.table = net.table.to(device())
    net.kept["table"] = net.table
    return net


@pytest.mark.xla
@pytest.mark.parametrize(
    "move",
    [
        lambda net: net.to(device()),
        lambda net: nn.Sequential(net).to(device())[0],
        lambda net: copy.deepcopy(net).to(device()),
        lambda net: net.to(device()).cpu().to(device()),
        moved_alone,
    ],
)
def test_what_holds_a_parameter_holds_that_of_the_device(move: Callable[[Net], Net]) -> None:
    torch.manual_seed(0)
    net = Net()
    wanted = results(net, "cpu")
    names = [name for name, _ in net.named_parameters()]
    net = move(net)
    assert net.held.weight is net.layer.weight is net.other.weight is net.all[0]
    assert isinstance(net.held.weight, nn.Parameter) and net.held.weight.device.type == "xla"
    assert [name for name, _ in net.named_parameters()] == names
    for ours, theirs in zip(results(net, device()), wanted, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.xla
def test_a_parameter_keeps_its_attributes_and_its_gradient() -> None:
    net = Net()
    results(net, "cpu")
    assert net.held.weight.grad is not None
    wanted = net.held.weight.grad.clone()
    held: Any = net.held
    held.weight.no_decay = True
    net.to(device())
    assert held.weight.no_decay and net.held.weight.grad is not None
    assert torch.equal(net.held.weight.grad.cpu(), wanted)


@pytest.mark.xla
def test_a_parameter_with_a_graph_is_refused() -> None:
    net = Net()
    alive = net(torch.ones(1, 3))
    with pytest.raises(RuntimeError, match="others than its module hold cannot move to XLA"):
        net.to(device())
    assert alive.requires_grad


def test_on_the_host_nothing_changes() -> None:
    torch.manual_seed(0)
    net = Net()
    before = results(net, "cpu")
    weight, table = net.layer.weight, net.table
    net.to(torch.float64)
    assert net.held.weight is weight and weight.dtype is torch.float64
    assert net.kept["table"] is table and table.dtype is torch.float32 and net.table.dtype is torch.float64
    stored = io.BytesIO()
    torch.save(net.float(), stored)
    stored.seek(0)
    loaded = torch.load(stored, weights_only=False)
    assert loaded.held.weight is loaded.layer.weight is not weight
    for ours, theirs in zip(results(loaded, "cpu"), before, strict=True):
        assert torch.equal(ours, theirs)
