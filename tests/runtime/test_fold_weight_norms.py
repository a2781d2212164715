"""Weight norms folded for inference: used where they may be, and nowhere else."""

import copy
import gc
import importlib
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import ops, utils
from porter.runtime.ops.weight_norm import (
    WeightNorm,
    has_length,
    stored_dtype,
    weight_and_factor,
    weight_and_length,
)

from .graphs import assert_stays_on_device, decibels, device


class Network(nn.Module):
    """Two normed layers, one of them of one tap, and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Any = ops.weight_norm(nn.Conv1d(4, 24, 3, padding=1))
        self.second: Any = ops.weight_norm(nn.Conv1d(24, 6, 1))
        self.last = nn.Conv1d(6, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.second(self.first(x).tanh()).tanh())
        return result


def made() -> Network:
    torch.manual_seed(0)
    network = Network()
    with torch.no_grad():
        network.first.weight_g.mul_(torch.linspace(0.5, 2, 24).view(-1, 1, 1))
    return network


X = torch.linspace(-1, 1, 72).sin().reshape(2, 4, 9)


def inferred(network: nn.Module, x: torch.Tensor = X) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network(x)
    return result


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The weights that are computed from here on."""
    found: list[str] = []
    original = WeightNorm.compute_weight

    def counted(self: WeightNorm, layer: nn.Module) -> torch.Tensor:
        found.append(self.name)
        return original(self, layer)

    monkeypatch.setattr(WeightNorm, "compute_weight", counted)
    return found


def test_folded_weights_are_used_and_give_the_same(computed: list[str]) -> None:
    network = made()
    wanted = inferred(network)
    names = list(network.state_dict())
    assert ops.fold_weight_norms(network) == 2
    computed.clear()
    assert torch.equal(inferred(network), wanted)
    with torch.inference_mode():
        assert torch.equal(network(X), wanted)
    assert computed == []
    assert list(network.state_dict()) == names == [name for name, _ in network.named_parameters()]


def test_who_wants_gradients_gets_them(computed: list[str]) -> None:
    network, plain = made(), made()
    ops.fold_weight_norms(network)
    inferred(network)
    for one in (network, plain):
        one(X).square().sum().backward()
    assert len(computed) >= 2
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)
    computed.clear()
    inferred(network)
    assert computed == ["weight", "weight"]  # a forward that wanted gradients ended it
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    ops.fold_weight_norms(network)
    computed.clear()
    assert torch.equal(network(X), inferred(plain))
    assert computed == ["weight", "weight"]  # of `plain`


def step(network: Network) -> None:
    network(X).square().sum().backward()
    torch.optim.AdamW(network.parameters(), 0.1).step()


def step_uncounted(network: Network) -> None:
    network(X).square().sum().backward()
    torch.optim.AdamW(network.parameters(), 0.1, fused=True).step()


def write_to_the_weight(network: Network) -> None:
    """Lasts until the next forward, and so does nothing."""
    with torch.no_grad():
        network.first.weight.mul_(2)
        network.first.weight_v.mul_(1.5)
        network.first.weight_g.mul_(1.5)


def round_twice(network: Network) -> None:
    network.bfloat16().float()


def load(network: Network) -> None:
    network.load_state_dict({name: value * 0.7 for name, value in network.state_dict().items()})


def write(network: Network) -> None:
    with torch.no_grad():
        network.first.weight_v[0, 0].mul_(3)  # not all of a row, whose length is divided out


def replace(network: Network) -> None:
    network.second.weight_g = nn.Parameter(network.second.weight_g.detach() * 2)


@pytest.mark.parametrize(
    "change", [step, step_uncounted, load, write, replace, write_to_the_weight, round_twice], ids=lambda f: f.__name__
)
def test_a_change_of_a_parameter_is_seen(change: Callable[[Network], None]) -> None:
    network, plain = made(), made()
    ops.fold_weight_norms(network)
    before = inferred(network)
    for one in (network, plain):
        change(one)
    assert torch.equal(inferred(network), inferred(plain))
    assert not torch.equal(inferred(network), before)
    ops.fold_weight_norms(network)
    assert torch.equal(inferred(network), inferred(plain))


def test_what_a_hook_does_to_the_weight_lasts_one_forward() -> None:
    network, plain = made(), made()
    for one in (network, plain):
        one.first.register_forward_pre_hook(lambda layer, _: layer.weight.mul_(0.5))
    ops.fold_weight_norms(network)
    for _ in range(3):
        assert torch.equal(inferred(network), inferred(plain))


def test_what_cannot_be_kept_right_is_not_folded() -> None:
    mixed: Any = ops.weight_norm(nn.Conv1d(4, 6, 3))
    mixed.weight_v = nn.Parameter(mixed.weight_v.detach().bfloat16())
    assert ops.fold_weight_norms(mixed) == 0
    assert ops.fold_weight_norms(made().to("meta")) == 0
    computed: Any = made()
    torch.nn.utils.parametrize.register_parametrization(computed.first, "weight_v", nn.Tanh())
    assert ops.fold_weight_norms(computed) == 1


def test_a_stored_dtype_is_that_of_the_next_forward() -> None:
    network = made()
    network(X)
    network.bfloat16()
    ops.fold_weight_norms(network)
    with torch.no_grad():
        assert stored_dtype(network.first) == torch.bfloat16


def test_old_parameters_are_let_go() -> None:
    network = made()
    ops.fold_weight_norms(network)
    old = weakref.ref(network.first.weight_v)
    network.load_state_dict(made().state_dict(), assign=True)
    network(X)
    gc.collect()
    assert old() is None


def test_a_copy_is_not_folded() -> None:
    network = made()
    write(network)
    write(network)
    ops.fold_weight_norms(network)
    inferred(network)
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        before = inferred(network)
        with torch.no_grad():
            for ours, theirs in zip(copied.parameters(), network.parameters(), strict=True):
                while ours._version < theirs._version:  # the versions alone must not tell that nothing changed
                    ours.mul_(1.5)
        plain = made()
        plain.load_state_dict(copied.state_dict())
        assert torch.equal(inferred(copied), inferred(plain))
        assert not torch.equal(inferred(copied), before)


def test_another_dtype_is_seen() -> None:
    network, plain = made(), made()
    ops.fold_weight_norms(network)
    assert torch.equal(inferred(network.double(), X.double()), inferred(plain.double(), X.double()))


def test_a_folded_norm_can_be_taken_off() -> None:
    network = made()
    wanted = inferred(network)
    ops.fold_weight_norms(network)
    ops.remove_weight_norm(network.first)
    assert torch.equal(inferred(network), wanted)
    assert network.first.weight.requires_grad
    assert ops.fold_weight_norms(network) == 1


def test_parameters_that_nobody_counts_writes_to_are_left_alone() -> None:
    with torch.inference_mode():
        network = made()
    assert ops.fold_weight_norms(network) == 0


def test_kernels_take_folded_weights() -> None:
    layer: Any = made().first
    weight, length = weight_and_length(layer)
    assert weight is layer.weight_v
    assert length is layer.weight_g
    ops.fold_weight_norms(layer)
    with torch.no_grad():
        assert not has_length(layer)
        folded, none = weight_and_length(layer)
        same, factor = weight_and_factor(layer)
    assert none is None
    assert folded is same
    assert decibels(folded, layer.weight_v / layer.weight_v.norm(dim=(1, 2), keepdim=True) * layer.weight_g) > 130
    assert torch.equal(factor, torch.ones(24))
    assert has_length(layer)  # gradients are wanted again


@pytest.mark.xla
def test_on_xla_a_graph_has_no_norm_left() -> None:
    network = made()
    wanted = inferred(network)
    network.to(device())
    x = utils.constant(X, device())
    assert "sqrt" in _hlo(inferred(network, x))
    ops.fold_weight_norms(network)
    assert "sqrt" not in _hlo(inferred(network, x))
    assert decibels(inferred(network, x), wanted) > 115
    assert_stays_on_device(lambda: inferred(network, x))


@pytest.mark.xla
def test_on_xla_other_memory_is_seen() -> None:
    network: Any = made().to(device())
    plain = copy.deepcopy(network)
    x = utils.constant(X, device())
    ops.fold_weight_norms(network)
    before = inferred(network, x)
    for one in (network, plain):
        one.first.weight_v.data = one.first.weight_v.detach().cumsum(0)
    assert decibels(inferred(network, x), inferred(plain, x)) > 115
    assert decibels(inferred(network, x), before) < 40


@pytest.mark.xla
def test_a_network_that_moves_afterwards_is_not_folded_there() -> None:
    network = made()
    wanted = inferred(network)
    ops.fold_weight_norms(network)
    assert decibels(inferred(network.to(device()), utils.constant(X, device())), wanted) > 115


def _hlo(result: torch.Tensor) -> str:
    native: Any = importlib.import_module("torch_xla")._XLAC
    text: str = native._get_xla_tensors_hlo([result])
    return text
