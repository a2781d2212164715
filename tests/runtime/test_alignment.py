"""The search for a monotonic alignment against the plain one, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from porter.runtime import ops
from tests.runtime.graphs import cost_of, device


def plain(scores: Any, frames: Any, tokens: Any) -> Any:
    """The path by loops over single numbers, float32 as in C."""
    paths = np.zeros(scores.shape, np.float32)
    for path, value, t, s in zip(paths, scores.copy(), frames, tokens, strict=True):
        never = np.float32(-1e9)
        for y in range(t):
            for x in range(max(0, s + y - t), min(s, y + 1)):
                stay = never if x == y else value[y - 1, x]
                move = value[y - 1, x - 1] if x else (np.float32(0) if y == 0 else never)
                value[y, x] += max(move, stay)
        at = s - 1
        for y in range(t - 1, -1, -1):
            path[y, at] = 1
            if y and at and (at == y or value[y - 1, at] < value[y - 1, at - 1]):
                at -= 1
    return paths


def batch(seed: int, b: int, t: int, s: int, *, longer: bool = False, kind: str = "normal") -> tuple[Any, ...]:
    chance = np.random.default_rng(seed)
    scores = chance.standard_normal((b, t, s)).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "huge":
        scores *= np.float32(1e10)
    frames, tokens = chance.integers(1, t + 1, b), chance.integers(1, s + 1, b)
    if not longer:
        tokens = np.minimum(frames, tokens)
    inside = np.arange(t)[None, :, None] < frames[:, None, None]
    mask = inside & (np.arange(s)[None, None] < tokens[:, None, None])
    return torch.from_numpy(scores), torch.from_numpy(mask).float(), plain(scores, frames, tokens)


@pytest.mark.parametrize("kind", ["normal", "ties", "huge"])
@pytest.mark.parametrize("longer", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_path_is_the_plain_one(seed: int, longer: bool, kind: str) -> None:
    chance = np.random.default_rng(100 + seed)
    b, t, s = (int(chance.integers(1, high)) for high in (4, 25, 12))
    scores, mask, wanted = batch(seed, b, t, s, longer=longer, kind=kind)
    assert torch.equal(ops.maximum_path(scores, mask), torch.from_numpy(wanted))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_path_has_the_dtype_of_the_scores_and_no_gradient(dtype: torch.dtype) -> None:
    scores, mask, _ = batch(0, 2, 9, 5)
    path = ops.maximum_path(scores.to(dtype).requires_grad_(), mask.bool())
    assert path.dtype == dtype and not path.requires_grad
    assert set(path.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.xla
def test_one_graph_and_nothing_read_on_xla() -> None:
    def run(seed: int) -> Any:
        scores, mask, wanted = batch(seed, 3, 20, 8, kind="ties")
        return ops.maximum_path(scores.to(device()), mask.to(device())), wanted

    found, wanted = run(0)
    assert torch.equal(found.cpu(), torch.from_numpy(wanted))
    cost = cost_of(lambda: run(1)[0])
    assert cost.fallbacks == {} and cost.downloads == 0 and cost.graphs == 1
