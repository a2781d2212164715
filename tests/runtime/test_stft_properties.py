"""Every argument of `torch.stft`, right and wrong, does what it does there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.runtime import ops

from .outcomes import assert_same, dtypes, made, on_cpu, on_xla

_sizes = st.fixed_dictionaries(
    {"n_fft": st.sampled_from([8, 8, 7, 1, 0, 40])},
    optional={
        "hop_length": st.sampled_from([1, 2, 3, 8, 11, 0, -1, None]),
        "win_length": st.sampled_from([8, 5, 1, 0, 9, None]),
        "center": st.booleans(),
        "pad_mode": st.sampled_from(["reflect", "constant", "replicate", "no such"]),
        "normalized": st.booleans(),
        "onesided": st.sampled_from([True, False, None]),
    },
)
_right = st.fixed_dictionaries(
    {"n_fft": st.sampled_from([8, 7])},
    optional={"hop_length": st.integers(1, 9), "center": st.booleans(), "onesided": st.booleans()},
)
_shapes = st.sampled_from([[20], [2, 20], [21], [3], [0], [0, 20], [2, 3, 20], []])
_windows = st.sampled_from(["none", "right", "right", "double", "short", "integer"])
_complex = st.sampled_from([False, False, True, None])


def _check(shape: list[int], dtype: torch.dtype, kind: str, sizes: Any, return_complex: Any, xla: bool = False) -> None:
    width = sizes["n_fft"] if sizes.get("win_length") is None else sizes["win_length"]
    given = [made(shape, dtype)]
    if kind != "none":
        other = {"double": torch.float64, "integer": torch.int64}.get(kind, torch.float32)
        given.append(made([max(width - (kind == "short"), 0)], other, seed=1))

    def transformed(function: Any, **more: Any) -> Any:
        def compute(x: torch.Tensor, window: torch.Tensor | None = None) -> Any:
            result = function(x, window=window, **sizes, **more)
            return torch.view_as_real(result) if result.is_complex() else result

        return compute

    def magnitude(x: torch.Tensor, window: torch.Tensor | None = None) -> torch.Tensor:
        return torch.stft(x, window=window, return_complex=True, **sizes).abs()

    close: Any = {"xla": xla, "rtol": 1e-4, "atol": 1e-4}
    asked = transformed(torch.stft, return_complex=return_complex)
    assert_same(transformed(ops.stft, return_complex=return_complex), asked, *given, **close)
    assert_same(transformed(ops.stft_as_real), transformed(torch.stft, return_complex=True), *given, **close)
    assert_same(transformed(ops.stft_magnitude), magnitude, *given, **close)


@on_cpu
@given(_shapes, dtypes | st.just(torch.float32), _windows, _sizes, _complex)
def test_any_arguments_do_what_they_do_in_torch(
    shape: list[int], dtype: torch.dtype, kind: str, sizes: Any, return_complex: Any
) -> None:
    _check(shape, dtype, kind, sizes, return_complex)


@settings(on_cpu, max_examples=60)
@given(st.sampled_from([[20], [2, 21]]), st.sampled_from([torch.float32, torch.float64]), _windows, _right, _complex)
def test_right_arguments_give_what_torch_gives(
    shape: list[int], dtype: torch.dtype, kind: str, sizes: Any, return_complex: Any
) -> None:
    _check(shape, dtype, kind, sizes, return_complex)


@pytest.mark.xla
@on_xla
@given(st.sampled_from([[20], [2, 21]]), dtypes | st.just(torch.float32), _windows, _right, st.just(False))
def test_on_xla_it_does_what_torch_does_on_the_cpu(
    shape: list[int], dtype: torch.dtype, kind: str, sizes: Any, return_complex: Any
) -> None:
    _check(shape, dtype, kind, sizes, return_complex, xla=True)


def test_a_complex_signal_is_torchs() -> None:
    x = torch.randn(20, dtype=torch.complex64)
    with ops.device_forms():
        assert torch.equal(ops.stft(x, 8), torch.stft(x, 8))
        assert torch.equal(ops.stft_magnitude(x, 8), torch.stft(x, 8, return_complex=True).abs())
