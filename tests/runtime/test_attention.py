"""Attention in a kernel, against the same computed step by step: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops import attention, forms

from .graphs import assert_stays_on_device, decibels, device

pytestmark = pytest.mark.xla

Tensors = dict[str, torch.Tensor]


class Attention(nn.Module):
    """Attention with all that a kernel knows."""

    def __init__(self, width: int, window: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.drop = ops.Dropout(dropout)
        noise = torch.Generator().manual_seed(1)
        shape = (1, 2 * window + 1, width) if window is not None else None
        self.near_keys = nn.Parameter(torch.randn(shape, generator=noise)) if shape else None
        self.near_values = nn.Parameter(torch.randn(shape, generator=noise)) if shape else None
        self.weights: Any = None

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = ops.scores(q / 2, k.transpose(-2, -1))
        if self.near_keys is not None:
            scores = scores + ops.relative_scores(q / 2, self.near_keys)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e4)
        weights = self.drop(F.softmax(scores, dim=-1))
        self.weights = weights
        result = ops.matmul(weights, v)
        if self.near_values is not None:
            result = result + ops.relative_values(weights, self.near_values)
        return result


def given(queries: int, keys: int, width: int = 6, values: int = 6, heads: int = 2, masks: int = 1) -> Tensors:
    """Inputs of two samples, the second of which is shorter."""
    noise = torch.Generator().manual_seed(0)
    lengths = torch.tensor([keys, keys - 3]).view(2, 1, 1, 1)
    return {
        "q": torch.randn(2, heads, queries, width, generator=noise),
        "k": torch.randn(2, heads, keys, width, generator=noise),
        "v": torch.randn(2, heads, keys, values, generator=noise),
        "mask": (torch.arange(keys) < lengths).float().expand(2, masks, queries, keys).clone(),
    }


def run(made: nn.Module, inputs: Tensors, masked: bool = True) -> list[torch.Tensor]:
    """The result, and all gradients; dropout draws the same each time."""
    made.zero_grad(set_to_none=True)
    leaves = [inputs[name].detach().clone().requires_grad_() for name in "qkv"]
    torch.manual_seed(3)
    result = made(*leaves, inputs["mask"] if masked else None)
    result.sin().sum().backward()
    gradients = [leaf.grad for leaf in (*leaves, *made.parameters())]
    return [result.detach(), *(gradient for gradient in gradients if gradient is not None)]


def without_kernels(made: nn.Module, inputs: Tensors, monkeypatch: pytest.MonkeyPatch, masked: bool = True) -> Any:
    with monkeypatch.context() as patch, ops.device_forms(tpu=True):
        patch.setattr(attention, "_plan", lambda *_: None)
        return run(made, inputs, masked)


def check(made: Any, inputs: Tensors, monkeypatch: pytest.MonkeyPatch, masked: bool = True) -> None:
    wanted = without_kernels(made, inputs, monkeypatch, masked)
    with ops.device_forms(tpu=True):
        found = run(made, inputs, masked)
    assert made.weights._value is None, "the weights were computed outside of a kernel"
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one, other) > 115


@pytest.mark.parametrize("masks", [1, 2])
@pytest.mark.parametrize(("queries", "keys"), [(16, 16), (24, 10), (5, 13)])
def test_sums_are_those_of_steps(queries: int, keys: int, masks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Attention(6), given(queries, keys, masks=masks), monkeypatch)


def test_no_mask_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Attention(6), given(8, 8, values=10), monkeypatch, masked=False)


@pytest.mark.parametrize("length", [16, 3])
def test_diagonals_are_added_and_given(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Attention(6, window=4), given(length, length), monkeypatch)


def test_the_same_weights_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Attention(6, window=2, dropout=0.4), given(16, 16), monkeypatch)


class Single(nn.Module):
    """Attention without heads, scaled after the product."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = 0.5 * ops.scores(q, k.transpose(1, 2)) / 1.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        self.weights = nn.Softmax(dim=2)(scores)
        return torch.bmm(self.weights, v)


@pytest.mark.parametrize("masked", [True, False])
def test_without_heads_and_scaled_later(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Single(), {name: value[:, 0] for name, value in given(12, 10).items()}, monkeypatch, masked)


def test_dropout_has_its_share() -> None:
    made, inputs = Attention(6, dropout=0.25), given(200, 50)
    with ops.device_forms(tpu=True):
        run(made, inputs, masked=False)
    assert (made.weights == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_without_training_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    check(Attention(6, dropout=0.4).eval(), given(16, 16), monkeypatch)


def test_autocast_rounds_where_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = Attention(16, window=2, dropout=0.1), given(16, 16, width=16, values=16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = without_kernels(made, inputs, monkeypatch)
        with ops.device_forms(tpu=True):
            found = run(made, inputs)
    assert found[0].dtype == wanted[0].dtype
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one.float(), other.float()) > 40
    exact = without_kernels(made, inputs, monkeypatch)
    assert decibels(found[0].float(), exact[0]) == pytest.approx(decibels(wanted[0].float(), exact[0]), abs=1.5)


def test_without_a_tpu_it_is_torch_itself() -> None:
    inputs = given(8, 8)
    found = ops.scores(inputs["q"], inputs["k"].transpose(-2, -1))
    assert type(found) is torch.Tensor
    assert torch.equal(found, inputs["q"] @ inputs["k"].transpose(-2, -1))


def test_too_long_for_the_chip_is_computed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = Attention(6, window=2), given(16, 16)
    wanted = without_kernels(made, inputs, monkeypatch)
    monkeypatch.setattr(forms, "kernel_memory", lambda: 1000)
    with ops.device_forms(tpu=True):
        found = run(made, inputs)
    assert made.weights._value is not None
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


Use = Callable[[Any], Any]
USES: dict[str, Use] = {
    "scaled": lambda s: torch.softmax(s * 2 - 1, -1),
    "scaled by a tensor": lambda s: torch.softmax(s * torch.tensor(2.0), -1),
    "added by keyword": lambda s: torch.add(s, other=1, alpha=2),
    "all by keyword": lambda s: torch.softmax(input=s, dim=-1),
    "divided with rounding": lambda s: torch.div(s, 2, rounding_mode="floor"),
    "weights of three axes": lambda s: torch.bmm(s[0].softmax(-1), torch.ones(2, 10, 3)),
    "scaled from the left": lambda s: torch.softmax(1 - 2 * s, -1),
    "compared": lambda s: s > 0,
    "taken apart": lambda s: s[0, :, 1:],
    "added up in place": lambda s: s.__iadd__(1),
    "another softmax": lambda s: F.softmax(s, dim=2),
    "a softmax of another dtype": lambda s: F.softmax(s, dim=-1, dtype=torch.float64),
    "weights that weigh twice": lambda s: torch.softmax(s, -1) @ torch.softmax(s, -1).mT,
    "joined": lambda s: torch.cat([s, s], -1),
    "method": lambda s: s.softmax(-1).sum(-1),
    "filled twice": lambda s: s.masked_fill(s.read() > 0, -1.0).masked_fill(s.read() < -1, 3.0),
    "shape": lambda s: torch.tensor([*s.shape, s.dim(), s.size(2), len(s)]),
    "printed": lambda s: torch.tensor(len(str(s)) > 100),
    "listed": lambda s: torch.stack(list(s)),
    "weights of values of another batch": lambda s: torch.matmul(F.softmax(s, -1), torch.ones(1, 1, 10, 3)),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_whoever_looks_sees_the_tensor(use: Use) -> None:
    inputs = given(7, 10)

    class Same(torch.Tensor):
        read = torch.Tensor.clone

    wanted = use((inputs["q"] @ inputs["k"].mT).as_subclass(Same)).as_subclass(torch.Tensor)
    with ops.device_forms(tpu=True):
        scores = ops.scores(inputs["q"], inputs["k"].mT)
        assert not isinstance(scores, torch.Tensor)
        found = use(scores)
    assert type(found) is torch.Tensor
    if found.is_floating_point():
        assert decibels(found, wanted) > 115
    else:
        assert torch.equal(found, wanted)


def test_what_is_written_to_is_not_computed_later() -> None:
    inputs = given(7, 10)
    with ops.device_forms(tpu=True):
        scores = ops.scores(inputs["q"], inputs["k"].mT)
        inputs["q"].add_(1)
        with pytest.raises(RuntimeError, match="written to"):
            scores + 1


def test_scores_that_were_written_to_weigh_as_they_are_now() -> None:
    inputs = given(7, 10)
    plain = inputs["q"] @ inputs["k"].mT
    with ops.device_forms(tpu=True):
        scores = ops.scores(inputs["q"], inputs["k"].mT)
        scores[..., 0] = -5.0
        found = torch.matmul(F.softmax(scores, -1), inputs["v"])
    plain[..., 0] = -5.0
    assert decibels(found, torch.softmax(plain, -1) @ inputs["v"]) > 120


def test_weights_have_gradients_of_their_own() -> None:
    inputs = given(8, 8)
    found = []
    for tpu in (False, True):
        leaves = [inputs[name].clone().requires_grad_() for name in "qkv"]
        with ops.device_forms(tpu=tpu):
            weights = F.softmax(ops.scores(leaves[0], leaves[1].mT), -1)
            loss: torch.Tensor = torch.matmul(weights, leaves[2]).sin().sum() + (weights**2).sum()
            loss.backward()  # type: ignore[no-untyped-call]
        found.append([leaf.grad for leaf in leaves])
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert decibels(one, other) > 115


def test_on_xla_one_graph_holds_it() -> None:
    inputs = {name: value.to(device()) for name, value in given(16, 16).items()}
    made = Attention(6, window=2).to(device())
    wanted = run(Attention(6, window=2), given(16, 16))
    with ops.device_forms(tpu=True):
        found = run(made, inputs)
        assert_stays_on_device(lambda: run(made, inputs))
    for one, other in zip(found, wanted, strict=True):
        assert decibels(one.cpu(), other) > 100
