"""Relative positions in diagonals against their definition: values and gradients."""

from __future__ import annotations

import pytest
import torch

from porter.runtime.ops.relative import relative_values, spread

from .graphs import check_operation

SHAPES = [(7, 2, 1), (7, 2, 3), (2, 4, 1), (1, 1, 3)]  # length, window, heads of the embeddings


def by_definition(embeddings: torch.Tensor, length: int) -> torch.Tensor:
    """The embedding for each query and key, 0 outside the window: [h or 1, l, l, d]."""
    window = embeddings.shape[1] // 2
    positions = torch.arange(length, device=embeddings.device)
    offsets = positions[None] - positions[:, None]
    near = (offsets.abs() <= window).unsqueeze(-1)
    return embeddings[:, (offsets + window).clamp(0, 2 * window)] * near


def diagonals(queries: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    return spread(torch.matmul(queries, embeddings.transpose(-2, -1)))


def scores(queries: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    return (queries.unsqueeze(-2) * by_definition(embeddings, queries.shape[-2])).sum(-1)


def values(weights: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    return (weights.unsqueeze(-1) * by_definition(embeddings, weights.shape[-1])).sum(-2)


@pytest.mark.xla
@pytest.mark.parametrize(("length", "window", "heads"), SHAPES)
def test_scores_and_gradients_are_those_of_the_definition(length: int, window: int, heads: int) -> None:
    queries, embeddings = torch.randn(2, 3, length, 4), torch.randn(heads, 2 * window + 1, 4)
    check_operation(diagonals, scores, queries, embeddings, least=120, on_cpu=120)


@pytest.mark.xla
@pytest.mark.parametrize(("length", "window", "heads"), SHAPES)
def test_values_and_gradients_are_those_of_the_definition(length: int, window: int, heads: int) -> None:
    weights, embeddings = torch.randn(2, 3, length, length), torch.randn(heads, 2 * window + 1, 4)
    check_operation(relative_values, values, weights, embeddings, least=120, on_cpu=120)


def test_gradients_are_right_by_finite_differences() -> None:
    embeddings = torch.randn(1, 5, 2).double().requires_grad_()
    queries, weights = torch.randn(2, 2, 4, 2).double(), torch.randn(2, 2, 4, 4).double()
    assert torch.autograd.gradcheck(diagonals, (queries.requires_grad_(), embeddings))
    assert torch.autograd.gradcheck(relative_values, (weights.requires_grad_(), embeddings))


@pytest.mark.xla
def test_in_double_precision_nothing_is_rounded_to_single() -> None:
    queries, embeddings = torch.randn(2, 2, 6, 4).double(), torch.randn(1, 5, 4).double()
    check_operation(diagonals, scores, queries, embeddings, least=280, on_cpu=280)
    check_operation(relative_values, values, torch.randn(2, 2, 6, 6).double(), embeddings, least=280, on_cpu=280)
