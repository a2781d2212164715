"""Torch's own in the place of the emitted runtime's operations, for networks of the judge's own."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _relative_scores(queries: Tensor, embeddings: Tensor) -> Tensor:
    """Queries [B, H, T, D] times the embeddings [1, N, D] of positions at most N // 2 away: [B, H, T, T], else 0."""
    places, near = _places(queries.shape[-2], embeddings.shape[-2])
    return torch.where(near, torch.einsum("bhtd,tsd->bhts", queries, embeddings[0][places]), 0)


def _relative_values(weights: Tensor, embeddings: Tensor) -> Tensor:
    """Embeddings [1, N, D] of positions at most N // 2 away, summed by weights [B, H, T, T]: [B, H, T, D]."""
    places, near = _places(weights.shape[-1], embeddings.shape[-2])
    return torch.einsum("bhts,tsd->bhtd", torch.where(near, weights, 0), embeddings[0][places])


def _places(length: int, count: int) -> tuple[Tensor, Tensor]:
    """For each pair of positions the number of its embedding, and whether it has one."""
    positions = torch.arange(length)
    places = positions[None] - positions[:, None] + count // 2
    return places.clamp(0, count - 1), (places >= 0) & (places < count)


TORCHS = SimpleNamespace(
    Conv1d=nn.Conv1d,
    Conv2d=nn.Conv2d,
    Dropout=nn.Dropout,
    fold_time=lambda *layers: None,
    fused=lambda forward: forward,
    leaky_relu=F.leaky_relu,
    matmul=torch.matmul,
    relative_scores=_relative_scores,
    relative_values=_relative_values,
    relu=F.relu,
    scaled_dot_product_attention=F.scaled_dot_product_attention,
    scores=torch.matmul,
    weight_norm=nn.utils.weight_norm,
)
