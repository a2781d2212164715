"""Small stand-ins: every argument, right and wrong, does what it does in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.runtime import ops

from .outcomes import assert_same, dtypes, made, on_cpu, on_xla

FLOATS = st.sampled_from([torch.float32, torch.float64])
shapes = st.lists(st.integers(0, 6), max_size=3)
axes = st.integers(-3, 3)


def _glu(shape: list[int], dtype: torch.dtype, dim: int, xla: bool = False) -> None:
    assert_same(lambda x: ops.glu(x, dim), lambda x: F.glu(x, dim), made(shape, dtype), xla=xla)


@on_cpu
@given(shapes, dtypes, axes)
def test_glu(shape: list[int], dtype: torch.dtype, dim: int) -> None:
    _glu(shape, dtype, dim)


@pytest.mark.xla
@on_xla
@given(shapes, dtypes, axes)
def test_glu_on_xla(shape: list[int], dtype: torch.dtype, dim: int) -> None:
    _glu(shape, dtype, dim, xla=True)


# Up to 25 points: with more, torch goes through a product, whose rounding is another.
_sizes = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
_batches = st.sampled_from([((), ()), ((2,), (2,)), ((1,), (3,)), ((2, 1), (3,)), ((0,), (1,)), ((2,), (3,))])
_powers = st.sampled_from([0, 0.0, 0.5, 1, 1.0, 1.5, 2, 2.0, 3.0, float("inf"), -1.0, float("nan")])
_modes = st.sampled_from([{}, {}, {"compute_mode": "donot_use_mm_for_euclid_dist"}, {"compute_mode": "no such"}])


def _cdist(sizes: Any, batches: Any, kinds: Any, p: float, mode: Any, equal: bool, xla: bool = False) -> None:
    rows, columns, width, other = sizes
    left = made((*batches[0], rows, width), kinds[0])
    right = made((*batches[1], columns, width if other else other), kinds[1], seed=1)
    if equal and left.is_floating_point() and rows and left.numel():
        right = left.detach().clone().requires_grad_()
    assert_same(
        lambda a, b: ops.cdist(a, b, p, **mode), lambda a, b: torch.cdist(a, b, p, **mode), left, right, xla=xla
    )


_kinds = st.sampled_from([(torch.float32,) * 2, (torch.float64,) * 2, (torch.float32, torch.float64)])


@on_cpu
@given(_sizes, _batches, _kinds | st.tuples(dtypes, dtypes), _powers, _modes, st.booleans())
def test_cdist(sizes: Any, batches: Any, kinds: Any, p: float, mode: Any, equal: bool) -> None:
    _cdist(sizes, batches, kinds, p, mode, equal)


@pytest.mark.xla
@on_xla
@given(_sizes, _batches, _kinds, _powers, _modes, st.booleans())
def test_cdist_on_xla(sizes: Any, batches: Any, kinds: Any, p: float, mode: Any, equal: bool) -> None:
    _cdist(sizes, batches, kinds, p, mode, equal, xla=True)


_lengths = st.integers(-1, 9)
_weights = st.none() | st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.bool])


def _bincount(labels: Any, dtype: torch.dtype, least: int, weights: Any, xla: bool = False) -> None:
    given = [made(labels, dtype, gradient=False) % max(least, 1) if dtype is not torch.bool else made(labels, dtype)]
    if weights is not None:
        given.append(made(labels, weights, seed=1, gradient=False))
    assert_same(
        lambda x, w=None: ops.bincount(x, w, minlength=least),
        lambda x, w=None: torch.bincount(x, w, minlength=least),
        *given,
        xla=xla,
    )


@on_cpu
@given(st.lists(st.integers(0, 12), min_size=0, max_size=2), dtypes | st.just(torch.int32), _lengths, _weights)
def test_bincount_of_labels_below_its_length(labels: Any, dtype: torch.dtype, least: int, weights: Any) -> None:
    _bincount(labels, dtype, least, weights)


@pytest.mark.xla
@on_xla
@given(st.tuples(st.integers(0, 12)), st.sampled_from([torch.int64, torch.uint8]), st.integers(1, 9), _weights)
def test_bincount_of_labels_below_its_length_on_xla(labels: Any, dtype: torch.dtype, least: int, weights: Any) -> None:
    _bincount(labels, dtype, least, weights, xla=True)


def test_weights_that_are_no_numbers_stay_in_their_own_class() -> None:
    labels, weights = torch.tensor([0, 1, 1]), torch.tensor([1.0, float("nan"), float("inf")])
    with ops.device_forms():
        assert ops.bincount(labels, weights, 3).nan_to_num(7.0).tolist() == [1.0, 7.0, 0.0]


def _matrices(shape: list[int], dtype: torch.dtype, kind: str) -> torch.Tensor:
    matrix = made(shape, dtype)
    if len(shape) > 1 and shape[-1] == shape[-2] and matrix.is_floating_point():
        matrix = matrix.detach() * 0.3 + torch.eye(shape[-1], dtype=dtype) * (-2 if kind == "negative" else 2)
        if kind == "singular" and matrix.numel():
            matrix[..., 0, :] = 0
        matrix.requires_grad_()
    return matrix


_square = st.integers(0, 4).flatmap(lambda n: st.lists(st.integers(0, 2), max_size=2).map(lambda batch: [*batch, n, n]))
_matrix_shapes = st.one_of(_square, _square, shapes)


@on_cpu
@given(_matrix_shapes, dtypes | FLOATS, st.sampled_from(["plain", "negative"]))
def test_log_determinant_and_inverse(shape: list[int], dtype: torch.dtype, kind: str) -> None:
    given = _matrices(shape, dtype, kind)
    assert_same(ops.logdet, torch.logdet, given, rtol=1e-4, atol=1e-5)
    assert_same(ops.inverse, torch.inverse, given, rtol=1e-4, atol=1e-5)


@pytest.mark.xla
@settings(on_xla, max_examples=5)
@given(_square, FLOATS, st.sampled_from(["plain", "negative"]))
def test_log_determinant_and_inverse_on_xla(shape: list[int], dtype: torch.dtype, kind: str) -> None:
    given = _matrices(shape, dtype, kind)
    assert_same(ops.logdet, torch.logdet, given, xla=True, rtol=1e-4, atol=1e-5)
    assert_same(ops.inverse, torch.inverse, given, xla=True, rtol=1e-4, atol=1e-5)


@given(_square.filter(lambda shape: 0 not in shape), FLOATS)
@on_cpu
def test_the_log_determinant_of_a_singular_matrix(shape: list[int], dtype: torch.dtype) -> None:
    given = _matrices(shape, dtype, "singular").detach()
    assert_same(ops.logdet, torch.logdet, given)


_values = st.sampled_from([0, 2.5, True, float("nan"), 300, -1, 1j]) | st.sampled_from(
    ["0-dim", "full", "other dtype", "short"]
)


def _write(shape: list[int], dtype: torch.dtype, axes: int, wrong: bool, value: Any, xla: bool = False) -> None:
    own = made([3] if wrong else shape[:axes], torch.bool, seed=2)
    given = [made(shape, dtype), own]
    if isinstance(value, str):
        sizes = {"0-dim": [], "short": shape[1:]}.get(value, shape)
        given.append(made(sizes, torch.float64 if value in ("0-dim", "other dtype") else dtype, seed=1, gradient=False))

    def ours(target: torch.Tensor, mask: torch.Tensor, *source: torch.Tensor) -> torch.Tensor:
        target = target.clone()
        assert ops.masked_write_(target, mask, source[0] if source else value) is target
        return target

    def original(target: torch.Tensor, mask: torch.Tensor, *source: torch.Tensor) -> torch.Tensor:
        target = target.clone()
        target[mask] = source[0][mask] if source and source[0].dim() else source[0] if source else value
        return target

    assert_same(ours, original, *given, xla=xla)


_written = st.lists(st.integers(0, 4), max_size=3)


@on_cpu
@given(_written, dtypes, st.integers(0, 3), st.booleans(), _values)
def test_masked_write(shape: list[int], dtype: torch.dtype, axes: int, wrong: bool, value: Any) -> None:
    _write(shape, dtype, axes, wrong, value)


@pytest.mark.xla
@on_xla
@given(_written, dtypes, st.integers(0, 3), st.booleans(), _values)
def test_masked_write_on_xla(shape: list[int], dtype: torch.dtype, axes: int, wrong: bool, value: Any) -> None:
    _write(shape, dtype, axes, wrong, value, xla=True)


_bounds = st.tuples(*[st.integers(-8, 8)] * 2)


def _ranges(starts: Any, ends: Any, dtype: torch.dtype, value: float, xla: bool = False) -> None:
    given = [made((2, 3, 5), dtype), made((2, 3, 5), dtype, seed=1), torch.tensor(starts), torch.tensor(ends)]

    def ours(x: torch.Tensor, y: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> Any:
        filled, copied = ops.fill_ranges_(x.clone(), value, start, end), ops.copy_ranges_(x.clone(), y, start, end)
        return filled, copied, ops.ranges_mse(x, y, start, end), ops.ranges_l1(x, y, start, end)

    def original(x: torch.Tensor, y: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> Any:
        filled, copied, squares, sizes = x.clone(), x.clone(), [], []
        for i in range(2):
            filled[i, :, start[i] : end[i]] = value
            copied[i, :, start[i] : end[i]] = y[i, :, start[i] : end[i]]
            squares.append(F.mse_loss(x[i, :, start[i] : end[i]], y[i, :, start[i] : end[i]]))
            sizes.append(F.l1_loss(x[i, :, start[i] : end[i]], y[i, :, start[i] : end[i]]))
        return filled, copied, torch.stack(squares), torch.stack(sizes)

    assert_same(ours, original, *given, xla=xla, on_cpu=None)


_floats = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])


@on_cpu
@given(_bounds, _bounds, _floats, st.sampled_from([0.0, 2.5, float("nan")]))
def test_ranges(starts: Any, ends: Any, dtype: torch.dtype, value: float) -> None:
    _ranges(starts, ends, dtype, value)


@pytest.mark.xla
@on_xla
@given(_bounds, _bounds, _floats, st.sampled_from([0.0, 2.5, float("nan")]))
def test_ranges_on_xla(starts: Any, ends: Any, dtype: torch.dtype, value: float) -> None:
    _ranges(starts, ends, dtype, value, xla=True)
