"""What an operation does with arguments, exceptions too: torch's on the CPU, its stand-in in every form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st

from porter.runtime import ops, utils

from .graphs import device

on_cpu = settings(max_examples=150, deadline=None, derandomize=True)
on_xla = settings(max_examples=10, deadline=None, derandomize=True)  # each new shape is compiled

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
_COARSE = {torch.float16: 4e-3, torch.bfloat16: 3e-2}
dtypes = st.sampled_from(DTYPES)


@dataclass(frozen=True)
class Outcome:
    """Results and gradients, or the type of what was raised."""

    results: Sequence[torch.Tensor]
    gradients: Sequence[torch.Tensor | None]
    error: type[BaseException] | None = None


def made(shape: Sequence[int], dtype: torch.dtype, seed: int = 0, gradient: bool = True) -> torch.Tensor:
    """Numbers of all signs in `shape`; integers are small and not negative."""
    noise = torch.Generator().manual_seed(seed)
    if not dtype.is_floating_point:
        return torch.randint(0, 7, tuple(shape), generator=noise).to(dtype)
    return torch.randn(tuple(shape), generator=noise).to(dtype).requires_grad_(gradient)


def outcome(
    operation: Callable[..., Any], inputs: Sequence[torch.Tensor], place: torch.device | None = None
) -> Outcome:
    """Run an operation on copies of `inputs`, and take the gradients of all that it gives."""
    given = [_copy(value, place) for value in inputs]
    try:
        found = operation(*given)
        results = [found] if isinstance(found, torch.Tensor) else list(found)
        moving = [value for value in results if value.requires_grad]
        slopes = [_copy(_slope(value), place) for value in moving]
        if moving:
            torch.autograd.backward(moving, slopes)
        shown = [value.detach().cpu() for value in results]
        return Outcome(shown, [None if value.grad is None else value.grad.cpu() for value in given])
    except Exception as error:  # compared as a result
        return Outcome((), (), type(error))


def assert_same(
    ours: Callable[..., Any],
    original: Callable[..., Any],
    *inputs: torch.Tensor,
    xla: bool = False,
    rtol: float | None = None,
    atol: float | None = None,
    on_cpu: float | None = 0,
) -> None:
    """`ours` does what `original` does on the CPU: as it is there, and in its XLA form there or on XLA itself.

    On the CPU the form that it takes there is exact to the bit, unless `on_cpu` is None.
    """
    wanted = outcome(original, inputs)
    if xla:
        _compare(outcome(ours, inputs, device()), wanted, rtol, atol)
        return
    _compare(outcome(ours, inputs), wanted, on_cpu, on_cpu)
    with ops.device_forms():
        _compare(outcome(ours, inputs), wanted, rtol, atol)


def _copy(value: torch.Tensor, place: torch.device | None) -> torch.Tensor:
    copied = value.detach().clone() if place is None else utils.constant(value.detach(), place)
    return copied.requires_grad_(value.requires_grad)


def _slope(value: torch.Tensor) -> torch.Tensor:
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(value.dtype)


def _compare(got: Outcome, wanted: Outcome, rtol: float | None, atol: float | None) -> None:
    assert got.error is wanted.error
    pairs = list(zip([*got.results, *got.gradients], [*wanted.results, *wanted.gradients], strict=True))
    for mine, theirs in pairs:
        if mine is None or theirs is None:
            assert mine is theirs
            continue
        exact = rtol == atol == 0
        if not exact and theirs.dtype in _COARSE:  # kernels differ in what they round on the way
            torch.testing.assert_close(
                mine, theirs, rtol=_COARSE[theirs.dtype], atol=_COARSE[theirs.dtype], equal_nan=True
            )
            continue
        torch.testing.assert_close(mine, theirs, rtol=rtol, atol=atol, equal_nan=True)
