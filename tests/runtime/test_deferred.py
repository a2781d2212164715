"""Tensors that are computed when somebody looks at them, where it matters that they are tensors."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops

from .graphs import decibels

pytestmark = pytest.mark.xla


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


def test_a_look_without_gradients_does_not_lose_them() -> None:
    q, k, v = given()
    weights = torch.softmax(ops.scores(q, k.mT), -1)
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
        weights = torch.softmax(ops.scores(q, k.mT), -1)
    result = torch.matmul(weights, v)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert q.grad is None
    assert not weights.requires_grad


def test_what_was_made_without_autocast_is_computed_without() -> None:
    q, k, _ = given()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.autocast("cpu", enabled=False):
            scores = ops.scores(q, k.mT)
        found = torch.softmax(scores, -1)
    assert decibels(found + 0, torch.softmax(q @ k.mT, -1)) > 120


def test_what_was_made_under_autocast_is_computed_so() -> None:
    q, k, _ = given()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, wanted = ops.scores(q, k.mT), q @ k.mT
    assert scores.dtype == torch.bfloat16
    assert torch.equal(scores + 0, wanted)


def test_in_inference_nothing_waits() -> None:
    q, k, _ = (value.detach() for value in given())
    with torch.inference_mode():
        assert type(ops.scores(q.clone(), k.mT)) is torch.Tensor
        ops.relative_scores(q.clone(), torch.ones(1, 3, 3))
        ops.weight_norm(nn.Conv1d(64, 4, 1))(torch.ones(1, 64, 1))


def test_a_gradient_that_somebody_keeps_is_there() -> None:
    q, k, v = given()
    weights = torch.softmax(ops.scores(q, k.mT), -1)
    weights.retain_grad()
    torch.matmul(weights, v).sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None


def test_weights_stay_what_they_were_when_their_scores_change() -> None:
    q, k, _ = (value.detach() for value in given())
    scores = ops.scores(q, k.mT)
    weights = torch.softmax(scores, -1)
    scores.mul_(0)
    assert decibels(weights + 0, torch.softmax(q @ k.mT, -1)) > 120


def test_what_changed_is_not_computed_later() -> None:
    q, k, _ = (value.detach() for value in given())
    waiting = torch.softmax(ops.scores(q, k.mT), -1)
    q.mul_(5)
    with pytest.raises(RuntimeError, match="written to"):
        waiting.sum()


def test_what_waits_is_saved_as_a_tensor() -> None:
    q, k, _ = (value.detach() for value in given())
    q.add_(1)
    weights = torch.softmax(ops.scores(q, k.mT), -1)
    found = pickle.loads(pickle.dumps(weights))
    assert type(found) is torch.Tensor
    assert torch.equal(found, weights + 0)
    torch.save(ops.weight_norm(nn.Conv1d(4, 4, 1)), io.BytesIO())


def test_a_product_of_a_dropout_and_of_what_waits() -> None:
    q, k, _ = given()
    weights = torch.softmax(ops.scores(q, k.mT), -1)
    dropped = ops.Dropout(0.5)(torch.ones(2, 2, 5, 5, requires_grad=True))
    assert ops.matmul(dropped, weights).shape == (2, 2, 5, 5)


def test_diagonals_of_other_scores_are_read() -> None:
    q, k, _ = given()
    scores: Any = ops.scores(q, k.mT)
    found = ops.relative_values(scores, torch.ones(1, 3, 3))
    assert decibels(found, ops.relative_values(scores + 0, torch.ones(1, 3, 3))) > 120


def test_operators_from_the_left() -> None:
    q, k, _ = given()
    scores: Any = ops.scores(q, k.mT)
    assert torch.equal(2**scores, 2 ** (q @ k.mT))
    assert torch.equal(1 // scores, 1 // (q @ k.mT))


def test_a_weight_outlives_its_layer_and_keeps_to_the_stride() -> None:
    weight = ops.weight_norm(nn.Conv1d(4, 4, 1)).weight
    assert torch.isfinite(weight.sum())
    layer: Any = ops.weight_norm(nn.Conv1d(64, 4, 1))
    x = torch.ones(1, 64, 8)
    assert F.conv1d(x, layer.weight, layer.bias, 2).shape == (1, 4, 4)
    assert F.conv1d(x, layer.weight, layer.bias, 1, 1).shape == (1, 4, 10)
