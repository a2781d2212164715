"""Weight norm and spectral norm as parametrizations: torch's own, but for the operators that a forward runs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from porter.runtime import ops, utils

from .graphs import assert_stays_on_device, decibels, device
from .outcomes import assert_same, made, on_cpu, on_xla

Norm = Callable[..., nn.Module]
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv1d(4, 6, 3),
    "transposed": lambda: nn.ConvTranspose1d(4, 6, 3),
    "linear": lambda: nn.Linear(9, 5),
}
NORMS: dict[str, tuple[Norm, Norm]] = {
    "weight": (ops.parametrized_weight_norm, parametrizations.weight_norm),
    "spectral": (ops.parametrized_spectral_norm, parametrizations.spectral_norm),
}
both = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)


def pair(norm: tuple[Norm, Norm], layer: str = "convolution", **given: Any) -> tuple[nn.Module, nn.Module]:
    found = []
    for one in norm:
        torch.manual_seed(0)
        found.append(one(LAYERS[layer](), **given))
    return found[0], found[1]


def step(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Two forwards, as of a discriminator, a backward and an update."""
    module.zero_grad()
    first, second = module(x), module(x * 0.5)
    (first.sin().sum() - second.cos().sum()).backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad, alpha=0.1)
    return [first, second, *gradients]


@both
@pytest.mark.parametrize("layer", LAYERS)
def test_state_names_values_and_looks_are_torchs(norm: tuple[Norm, Norm], layer: str) -> None:
    ours, wanted = pair(norm, layer)
    mine, theirs = ours.state_dict(), wanted.state_dict()
    assert list(mine) == list(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in wanted.named_parameters()]
    assert repr(ours) == repr(wanted)
    assert parametrize.is_parametrized(ours, "weight")
    x = torch.randn(2, 4, 9)
    for _ in range(3):
        for one, other in zip(step(ours, x), step(wanted, x), strict=True):
            assert torch.equal(one, other)


@both
@pytest.mark.parametrize("leave", [True, False])
def test_it_can_be_taken_off(norm: tuple[Norm, Norm], leave: bool) -> None:
    ours, wanted = (
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=leave)
        if leave or norm is NORMS["spectral"]
        else module
        for module in pair(norm)
    )
    assert list(ours.state_dict()) == list(wanted.state_dict())
    assert torch.equal(ours.weight, wanted.weight)  # type: ignore[arg-type]


@both
def test_copies_and_caches_are_as_in_torch(norm: tuple[Norm, Norm]) -> None:
    ours, wanted = pair(norm)
    x = torch.randn(1, 4, 9)
    assert torch.equal(copy.deepcopy(ours)(x), copy.deepcopy(wanted)(x))
    with parametrize.cached():
        assert ours.weight is ours.weight
    assert ours.weight is not ours.weight


def test_it_loads_what_the_older_weight_norm_saved() -> None:
    ours, _ = pair(NORMS["weight"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        older = torch.nn.utils.weight_norm(LAYERS["convolution"]())
    ours.load_state_dict(older.state_dict(), strict=True)
    x = torch.randn(1, 4, 9)
    assert torch.equal(ours(x), older(x))


def test_the_weight_can_be_assigned() -> None:
    ours, wanted = pair(NORMS["weight"])
    for module in (ours, wanted):
        module.weight = torch.ones(6, 4, 3)
    assert torch.equal(ours.state_dict()["parametrizations.weight.original0"], torch.full((6, 1, 1), 12**0.5))
    assert torch.equal(ours.weight, wanted.weight)  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("wrong", [{"name": "no such"}, {"dim": 7}, {"n_power_iterations": 0}])
def test_it_raises_what_torch_raises(norm: tuple[Norm, Norm], wrong: dict[str, Any]) -> None:
    raised: list[type[BaseException] | None] = []
    for one in norm:
        try:
            one(nn.Linear(3, 3), **wrong)
            raised.append(None)
        except Exception as error:
            raised.append(type(error))
    assert raised[0] is raised[1]


_dims = st.sampled_from([0, 1, 2, -1, -2, None])
_kinds = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])


def _normed(make: Norm, shape: list[int], dim: int | None) -> Callable[[torch.Tensor], Any]:
    """The weight of a module whose parameter is given, and its length and direction."""

    def compute(weight: torch.Tensor) -> Any:
        holder = nn.Module()
        holder.weight = nn.Parameter(weight.detach() + 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            make(holder, "weight", dim)
        for hook in holder._forward_pre_hooks.values():
            hook(holder, ())
        result = holder.weight
        torch.autograd.backward(
            result, torch.linspace(-1, 2, result.numel(), device=result.device).view_as(result).to(result)
        )
        return [result.detach(), *(p.grad for p in holder.parameters())]

    return compute


_old = (ops.weight_norm, torch.nn.utils.weight_norm)
_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@on_cpu
@given(_shapes, _dims, _kinds, st.sampled_from([NORMS["weight"], _old]))
def test_any_weight_is_normed_as_in_torch(shape: list[int], dim: int | None, dtype: torch.dtype, norm: Any) -> None:
    x = made(shape, dtype, gradient=False)
    assert_same(_normed(norm[0], shape, dim), _normed(norm[1], shape, dim), x, rtol=1e-5, atol=1e-5)


@pytest.mark.xla
@on_xla
@given(_shapes, _dims, st.sampled_from([torch.float32, torch.bfloat16]), st.sampled_from([NORMS["weight"], _old]))
def test_any_weight_is_normed_on_xla(shape: list[int], dim: int | None, dtype: torch.dtype, norm: Any) -> None:
    x = made(shape, dtype, gradient=False)
    assert_same(_normed(norm[0], shape, dim), _normed(norm[1], shape, dim), x, xla=True, rtol=1e-5, atol=1e-5)


@pytest.mark.xla
@both
@pytest.mark.parametrize("layer", ["convolution", "linear"])
def test_on_xla_steps_are_one_graph_and_give_what_the_cpu_gives(norm: tuple[Norm, Norm], layer: str) -> None:
    ours, wanted = pair(norm, layer)
    moved = copy.deepcopy(ours).to(device())
    x = torch.randn(2, 4, 9)
    sent = utils.constant(x, device())
    for _ in range(3):
        found = step(moved, sent)
        utils.mark_step()
        for one, other in zip(found, step(wanted, x), strict=True):
            assert decibels(one, other) > 100
    for name, value in wanted.state_dict().items():
        assert decibels(moved.state_dict()[name], value) > 100
    assert_stays_on_device(lambda: step(moved, sent))
    wanted.load_state_dict({name: value.cpu() for name, value in moved.state_dict().items()})
    moved.eval()
    wanted.eval()
    assert decibels(moved(sent), wanted(x)) > 100
    assert decibels(copy.deepcopy(moved)(sent), wanted(x)) > 100
    assert_stays_on_device(lambda: moved(sent))
