"""Tensors that are computed when somebody looks at them, where it matters that they are tensors."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops.attention import Scores, Weights

from .graphs import decibels


@pytest.fixture(autouse=True)
def tpu_forms() -> Iterator[None]:
    with ops.device_forms(tpu=True):
        yield


def given() -> list[torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    return [torch.randn(2, 2, 5, 3, generator=noise).requires_grad_() for _ in range(3)]


def gradient(of: torch.Tensor) -> torch.Tensor:
    assert of.grad is not None
    return of.grad


def waiting(q: torch.Tensor, k: torch.Tensor) -> Weights:
    """Weights that nobody looked at yet."""
    return Weights.of(Scores(q, k.mT))


def test_it_is_a_tensor_that_knows_its_kind_without_a_look() -> None:
    q, k, _ = given()
    weights = waiting(q, k)
    assert isinstance(weights, torch.Tensor)
    assert (weights.shape, weights.dtype, weights.device) == (torch.Size((2, 2, 5, 5)), torch.float32, q.device)
    assert (weights.dim(), weights.size(1), len(weights), weights.numel()) == (4, 2, 2, 100)
    assert weights._value is None
    assert weights.requires_grad and type(weights + 0) is torch.Tensor
    assert weights._value is not None


USES: dict[str, Callable[[torch.Tensor], Any]] = {
    "taken apart": lambda w: w[0, :, 1:],
    "in place": lambda w: w.mul_(2),
    "operators from the left": lambda w: 2**w + 1 // (w + 1),
    "by keyword": lambda w: torch.softmax(input=w, dim=-1),
    "compared": lambda w: w > 0.2,
    "joined": lambda w: torch.cat([w, w], -1),
    "listed": lambda w: torch.stack(list(w)),
    "printed": lambda w: torch.tensor([ord(c) for c in repr(w.detach())]),
    "a product": lambda w: torch.einsum("bhts,bhsd->bhtd", w, torch.ones(2, 2, 5, 3)),
    "a layer": lambda w: F.layer_norm(w, [5]),
    "in numpy": lambda w: torch.from_numpy(w.detach().numpy()),
    "a view of it": lambda w: w.data.view(-1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_whoever_looks_sees_the_tensor(use: Callable[[torch.Tensor], Any]) -> None:
    q, k, _ = (value.detach() for value in given())
    found, wanted = use(waiting(q, k)), use(torch.softmax(q @ k.mT, -1))
    assert type(found) is torch.Tensor and torch.equal(found, wanted)


def test_a_look_without_gradients_does_not_lose_them() -> None:
    q, k, v = given()
    weights = waiting(q, k)
    with torch.no_grad():
        weights.sum().item()
    torch.einsum("bhts,bhsd->bhtd", weights, v).sum().backward()  # type: ignore[no-untyped-call]
    found = gradient(q).clone()
    q.grad = None
    (torch.softmax(q @ k.mT, -1) @ v).sum().backward()  # type: ignore[no-untyped-call]
    assert decibels(found, gradient(q)) > 120


def test_what_was_made_without_gradients_has_none() -> None:
    q, k, v = given()
    with torch.no_grad():
        weights = waiting(q, k)
    torch.matmul(weights, v).sum().backward()  # type: ignore[no-untyped-call]
    assert q.grad is None
    assert not weights.requires_grad


def test_what_was_made_under_autocast_is_computed_so() -> None:
    q, k, _ = given()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights, wanted = waiting(q, k), torch.softmax(q @ k.mT, -1)
        with torch.autocast("cpu", enabled=False):
            exact = waiting(q, k)
    assert weights.dtype == wanted.dtype
    assert torch.equal(weights + 0, wanted)
    assert decibels(exact + 0, torch.softmax(q @ k.mT, -1)) > 120


def test_in_inference_it_waits_too() -> None:
    q, k, _ = (value.detach() for value in given())
    with torch.inference_mode():
        assert torch.equal(waiting(q.clone(), k) + 0, torch.softmax(q @ k.mT, -1))
        ops.weight_norm(nn.Conv1d(64, 4, 1))(torch.ones(1, 64, 1))


def test_a_gradient_that_somebody_keeps_is_there() -> None:
    q, k, v = given()
    weights = waiting(q, k)
    weights.retain_grad()
    torch.matmul(weights, v).sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None


def test_what_changed_is_not_computed_later() -> None:
    q, k, _ = (value.detach() for value in given())
    weights = waiting(q, k)
    q.mul_(5)
    with pytest.raises(RuntimeError, match="written to"):
        weights.sum()


def test_what_waits_is_saved_and_copied_as_a_tensor() -> None:
    q, k, _ = given()
    weights = waiting(q, k)
    for found in (pickle.loads(pickle.dumps(weights)), copy.deepcopy(weights)):
        assert type(found) is torch.Tensor
        assert torch.equal(found, weights + 0)
    torch.save(ops.weight_norm(nn.Conv1d(4, 4, 1)), io.BytesIO())


def test_a_product_of_a_dropout_and_of_what_waits() -> None:
    q, k, _ = given()
    dropped = ops.Dropout(0.5)(torch.ones(2, 2, 5, 5, requires_grad=True))
    ops.matmul(dropped, waiting(q, k)).sum().backward()  # type: ignore[no-untyped-call]
    assert gradient(q).abs().sum() > 0


def test_a_weight_is_a_tensor_that_keeps_to_the_stride() -> None:
    weight = ops.weight_norm(nn.Conv1d(4, 4, 1)).weight
    assert isinstance(weight, torch.Tensor) and torch.isfinite(weight.sum())
    layer: Any = ops.weight_norm(nn.Conv1d(64, 4, 1))
    x = torch.ones(1, 64, 8)
    assert isinstance(layer.weight, torch.Tensor) and layer.weight.shape == (4, 64, 1)
    assert F.conv1d(x, layer.weight, layer.bias, 2).shape == (1, 4, 4)
    assert F.conv1d(x, layer.weight, layer.bias, 1, 1).shape == (1, 4, 10)
    assert layer(x[:, :, :2]).grad_fn is not None
