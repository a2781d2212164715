"""Attention in a kernel, against the same computed step by step: values and gradients."""

from __future__ import annotations

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


def offsets(embeddings: torch.Tensor, length: int) -> torch.Tensor:
    """An embedding for each distance of two positions, zero beyond the window."""
    window = embeddings.shape[1] // 2
    more = max(length - window - 1, 0)
    return F.pad(embeddings, (0, 0, more, more))[:, max(window + 1 - length, 0) :][:, : 2 * length - 1]


def by_position(scores: torch.Tensor) -> torch.Tensor:
    b, h, n, _ = scores.shape
    flat = F.pad(scores, (0, 1)).flatten(2)[:, :, n - 1 : n - 1 + n * (2 * n - 1)]
    return flat.view(b, h, n, 2 * n - 1)[..., :n]


def by_offset(weights: torch.Tensor) -> torch.Tensor:
    b, h, n, _ = weights.shape
    return F.pad(F.pad(weights, (0, n - 1)).flatten(2), (n, 0)).view(b, h, n, 2 * n)[..., 1:]


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

    @ops.fused
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = torch.matmul(q / 2, k.transpose(-2, -1))
        if self.near_keys is not None:
            scores = scores + by_position(torch.matmul(q / 2, offsets(self.near_keys, q.size(2)).transpose(-2, -1)))
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e4)
        weights = self.drop(F.softmax(scores, dim=-1))
        self.weights = weights
        result = ops.matmul(weights, v)
        if self.near_values is not None:
            result = result + torch.matmul(by_offset(weights), offsets(self.near_values, q.size(2)))
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
        patch.setattr(attention, "_plan", lambda *_: "a test wants none")
        return run(made, inputs, masked)


def check(made: Any, inputs: Tensors, monkeypatch: pytest.MonkeyPatch, masked: bool = True) -> None:
    wanted = without_kernels(made, inputs, monkeypatch, masked)
    with ops.device_forms(tpu=True):
        found = run(made, inputs, masked)
    assert [one.kernel for one in ops.fusions(made)][-1] == "attention"
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

    @ops.fused
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = 0.5 * torch.bmm(q, k.transpose(1, 2)) / 1.5
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
    made, inputs = Attention(6, window=2), given(8, 8)
    found = made(*inputs.values())
    assert torch.equal(found, Attention.forward.__wrapped__(made, *inputs.values()))  # type: ignore[attr-defined]
    assert type(made.weights) is torch.Tensor


def test_too_long_for_the_chip_is_computed_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    made, inputs = Attention(6, window=2), given(16, 16)
    wanted = without_kernels(made, inputs, monkeypatch)
    monkeypatch.setattr(forms, "kernel_memory", lambda: 1000)
    with ops.device_forms(tpu=True):
        found = run(made, inputs)
    assert "VMEM" in ops.fusions(made)[-1].reason and type(made.weights) is torch.Tensor
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_weights_have_gradients_of_their_own() -> None:
    inputs = given(8, 8)
    found = []
    for tpu in (False, True):
        made = Attention(6, window=2)
        leaves = [inputs[name].clone().requires_grad_() for name in "qkv"]
        with ops.device_forms(tpu=tpu):
            loss: torch.Tensor = made(*leaves, inputs["mask"]).sin().sum() + (made.weights**2).sum()
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
