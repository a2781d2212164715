import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from porter.runtime import ops, utils

from .graphs import check_operation, decibels, device

MAKERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Conv1d(4, 6, 3),
    lambda: nn.ConvTranspose1d(4, 4, 3),
    lambda: nn.Conv2d(3, 4, (5, 1)),
]


def torch_weight_norm(module: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(module, dim=dim)  # type: ignore[arg-type]


def pair(make: Callable[[], nn.Module], dim: int | None = 0) -> tuple[nn.Module, nn.Module]:
    plain = make()
    return ops.weight_norm(copy.deepcopy(plain), dim=dim), torch_weight_norm(copy.deepcopy(plain), dim)


def weight_of(module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The hook's computation as a function of length and direction."""
    hook = next(iter(module._forward_pre_hooks.values()))

    def compute(length: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        holder = nn.Module()
        holder.weight_g, holder.weight_v = length, direction
        result: torch.Tensor = hook.compute_weight(holder)  # type: ignore[attr-defined]
        return result

    return compute


@pytest.mark.xla
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("make", MAKERS)
def test_weight_and_gradients_are_those_of_torch(make: Callable[[], nn.Module], dim: int | None) -> None:
    torch.manual_seed(0)
    ours, wanted = pair(make, dim)
    length = ours.get_parameter("weight_g").detach() * 1.7
    direction = ours.get_parameter("weight_v").detach()
    if dim is None:  # the gradient of the one length is a sum that may cancel, which float32 cannot show
        length, direction = length.double(), direction.double()
    check_operation(weight_of(ours), weight_of(wanted), length, direction, least=120)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_parameters_have_the_names_order_and_values_of_torch(dim: int | None) -> None:
    ours, wanted = pair(MAKERS[0], dim)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in wanted.named_parameters()]
    for (name, value), (wanted_name, wanted_value) in zip(
        ours.state_dict().items(), wanted.state_dict().items(), strict=True
    ):
        assert name == wanted_name
        assert torch.equal(value, wanted_value)


def test_the_weight_is_computed_again_before_every_forward() -> None:
    ours, wanted = pair(MAKERS[0])
    x = torch.randn(1, 4, 9)
    for module in (ours, wanted):
        with torch.no_grad():
            module.get_parameter("weight_g").mul_(2)
    assert torch.equal(ours(x), wanted(x))


def test_either_library_takes_off_what_the_other_put_on() -> None:
    ours, wanted = pair(MAKERS[0])
    removed = torch.nn.utils.remove_weight_norm(ours)
    also_removed = ops.remove_weight_norm(wanted)
    for module in (removed, also_removed):
        assert set(module.state_dict()) == {"weight", "bias"}
        assert not module._forward_pre_hooks
    assert torch.equal(removed.get_parameter("weight"), also_removed.get_parameter("weight"))
    assert ops.remove_weight_norm(ops.weight_norm(nn.Linear(2, 2))).weight.requires_grad


def test_a_second_norm_and_a_missing_norm_raise() -> None:
    ours, _ = pair(MAKERS[0])
    with pytest.raises(RuntimeError, match="two weight_norm hooks"):
        ops.weight_norm(ours)
    with pytest.raises(ValueError, match="not found"):
        ops.remove_weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="uninitialized"):
        ops.weight_norm(nn.LazyLinear(3))


def test_it_can_be_copied_and_pickled_before_and_after_a_forward() -> None:
    ours, _ = pair(MAKERS[0])
    x = torch.randn(1, 4, 9)
    wanted = ours(x)
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), copy.deepcopy(copy.deepcopy(ours))):
        assert torch.equal(copied(x), wanted)
        copied(x).sum().backward()
        assert ours.get_parameter("weight_g").grad is None


def test_an_old_weight_is_not_kept_alive() -> None:
    ours, _ = pair(MAKERS[0])
    x = torch.randn(1, 4, 9)
    gc.disable()
    try:
        old = weakref.ref(ours.weight)
        ours(x)
        assert old() is None
    finally:
        gc.enable()


def test_its_notice_of_deprecation_is_torchs() -> None:
    with pytest.warns(FutureWarning) as wanted:
        torch.nn.utils.weight_norm(nn.Linear(3, 4))
    with pytest.warns(FutureWarning) as ours:
        ops.weight_norm(nn.Linear(3, 4))
    assert [str(one.message) for one in ours] == [str(one.message) for one in wanted]


@pytest.mark.xla
def test_a_module_moved_to_xla_gives_what_it_gave_on_the_cpu() -> None:
    ours, _ = pair(MAKERS[1])
    x = torch.randn(2, 4, 9)
    wanted = ours(x)
    moved = copy.deepcopy(ours).to(device())
    assert decibels(moved(utils.constant(x, device())), wanted) > 110
    assert torch.equal(copy.deepcopy(moved).get_parameter("weight_v").cpu(), ours.get_parameter("weight_v"))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("time", [1, 3, 50])
def test_on_a_tpu_a_large_weight_is_not_normalised_but_what_it_gives(time: int, bias: bool) -> None:
    layer: Any = ops.weight_norm(nn.Conv1d(16, 24, 1, bias=bias))
    layer.weight_g.data *= torch.linspace(0.5, 2, 24).view(-1, 1, 1)
    x = torch.randn(2, 16, time, generator=torch.Generator().manual_seed(0))
    found = []
    for tpu in (False, True):
        layer.zero_grad(set_to_none=True)
        leaf = x.clone().requires_grad_()
        with ops.device_forms(tpu=tpu):
            result = layer(leaf)
            result.sin().sum().backward()
        found.append([result, leaf.grad, *(p.grad for p in layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert decibels(one, other) > 115
    assert (layer.weight._value is None) == (2 * time < 16)
    direction = layer.weight_v / layer.weight_v.norm(dim=1, keepdim=True)
    assert torch.allclose(layer.weight.detach(), direction * layer.weight_g)


def test_a_weight_that_was_not_looked_at_is_copied() -> None:
    layer: Any = ops.weight_norm(nn.Conv1d(16, 24, 1))
    with ops.device_forms(tpu=True):
        layer(torch.ones(1, 16, 1))
        twin = copy.deepcopy(layer)
    assert type(twin.weight) is torch.Tensor
    assert torch.equal(twin.weight, layer.weight.read())
