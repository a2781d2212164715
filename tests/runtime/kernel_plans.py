"""Plans of all kernels, at sizes that fill no register, and numbers to give to kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from porter.runtime.ops.kernels import attention, chains, features, feed_forward, gated, residual

KERNELS: dict[str, Any] = {
    "attention": attention,
    "feed_forward": feed_forward,
    "features": features,
    "gated": gated,
    "residual": residual,
}

_COLUMNS = (
    chains.Layer(32, 128, 7, (-2, -1, 0, 1, 2), 3, 1, "taps", False),
    chains.Layer(128, 256, 3, (-2, -1, 0, 1, 2), 3, 1, "columns", True),
)
_GROUPS = (
    chains.Layer(16, 64, 129, (-1, 0, 1), 1, 1, "taps", False),
    chains.Layer(64, 256, 33, tuple(range(-4, 5)), 4, 4, "groups", True),
)
_ATTENTION = attention.Plan(
    batch=3,
    heads=2,
    queries=129,
    keys=7,
    width=96,
    values=24,
    factor=0.1,
    diagonals=9,
    mask=(True, False),
    filling=-1e4,
    dropped=True,
    scale=1.25,
    held="float32",
    dtype="float32",
    precise=False,
)

_PLANS: dict[str, list[Any]] = {
    "attention": [
        _ATTENTION,
        replace(_ATTENTION, batch=1, queries=7, keys=129, diagonals=0, mask=None, dropped=False),
    ],
    "feed_forward": [
        feed_forward.Plan(3, 129, 24, 72, 24, (3, 3), ((1, 1), (1, 1)), True, True, 1.25, "float32", False),
        feed_forward.Plan(1, 7, 24, 256, 40, (3, 5), ((1, 1), (2, 2)), False, False, 1.0, "float32", False, True),
    ],
    "features": [
        features.Plan(3, 2, 19, _COLUMNS, 0.1, "float32", "float32", False),
        features.Plan(1, 1, 129, _GROUPS, 0.1, "float32", "float32", False, flowing=(False, True)),
        features.Plan(
            1, 3, 7, (chains.Layer(128, 128, 7, (0,), 1, 1, "taps", False),), 0.1, "float32", "float32", False, True
        ),
    ],
    "gated": [
        gated.Plan(3, 24, 24, ((-2, -1, 0, 1, 2), (-4, 0, 4)), True, "float32", "float32", "float32", False),
        gated.Plan(1, 8, 192, ((-1, 0, 1),), False, "float32", "float32", "float32", False),
    ],
    "residual": [
        residual.Plan(3, 136, 128, ((-1, 0, 1), (-3, 0, 3)), 2, 0.1, "float32", "float32", "float32", False),
        residual.Plan(1, 8, 256, ((-1, 0, 1),), 1, 0.1, "float32", "float32", "float32", False, True),
    ],
}


def plans() -> Iterator[tuple[str, Any]]:
    """Each plan with the name of its kernel, in float32 and in bfloat16."""
    for name, known in _PLANS.items():
        for plan in known:
            yield name, plan
            half = {field: "bfloat16" for field in ("held", "dtype", "stored") if hasattr(plan, field)}
            yield name, replace(plan, **half)


def numbers(name: str, plan: Any, *, backward: bool) -> list[torch.Tensor]:
    """Arguments of a kernel: flags are 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for one in KERNELS[name].arguments(plan, backward=backward):
        if str(one.dtype) == "int8":
            found.append(torch.randint(0, 2, one.shape, generator=generator, dtype=torch.int8))
        else:
            found.append(torch.randn(one.shape, generator=generator).to(getattr(torch, str(one.dtype))))
    return found


def label(known: tuple[str, Any]) -> str:
    """What a test calls a plan."""
    name, plan = known
    size = getattr(plan, "time", None) or f"{plan.queries}x{plan.keys}"
    return f"{name}-{plan.batch}x{size}-{plan.dtype}"
