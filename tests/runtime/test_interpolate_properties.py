"""Every argument of `F.interpolate`, right and wrong, does what it does there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from porter.runtime import ops

from .outcomes import assert_same, dtypes, made, on_cpu, on_xla

_lengths = st.integers(0, 9) | st.sampled_from([-1, 2.0, True, None, np.int64(4)])
_factors = st.floats(0.2, 4) | st.sampled_from([2, 1.0, 0, -1.0, True, None, float("nan"), float("inf"), np.float32(2)])


def _few(single: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return single | st.lists(single, min_size=1, max_size=2) | st.tuples(single)


_modes = st.sampled_from(["nearest", "linear", "nearest", "linear", "nearest-exact", "area", "bilinear", "no such"])
_arguments = st.fixed_dictionaries(
    {},
    optional={
        "size": _few(_lengths),
        "scale_factor": _few(_factors),
        "mode": _modes,
        "align_corners": st.sampled_from([None, True, False]),
        "recompute_scale_factor": st.sampled_from([None, True, False]),
        "antialias": st.booleans(),
    },
)
_fine: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"mode": st.sampled_from(["nearest", "nearest-exact", "linear"])},
    optional={"recompute_scale_factor": st.just(False)},
).flatmap(
    lambda fixed: st.one_of(
        st.builds(dict, st.just(fixed), size=st.integers(1, 12)),
        st.builds(dict, st.just(fixed), scale_factor=st.floats(0.5, 3)),
    )
)
_shapes = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 7))


@on_cpu
@given(_shapes, dtypes, _arguments)
def test_any_arguments_do_what_they_do_in_torch(shape: tuple[int, ...], dtype: torch.dtype, given: Any) -> None:
    assert_same(lambda x: ops.interpolate(x, **given), lambda x: F.interpolate(x, **given), made(shape, dtype))


@on_cpu
@given(st.tuples(*[st.integers(1, 5)] * 3), dtypes, _fine)
def test_right_arguments_give_what_torch_gives(shape: tuple[int, ...], dtype: torch.dtype, given: Any) -> None:
    assert_same(lambda x: ops.interpolate(x, **given), lambda x: F.interpolate(x, **given), made(shape, dtype))


@on_cpu
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), _arguments)
def test_other_ranks_are_torchs(shape: list[int], given: Any) -> None:
    x = made(shape, torch.float32)
    assert_same(lambda x: ops.interpolate(x, **given), lambda x: F.interpolate(x, **given), x)


@pytest.mark.xla
@on_xla
@given(st.tuples(*[st.integers(0, 4)] * 3), dtypes, st.one_of(_fine, _arguments))
def test_on_xla_it_does_what_torch_does_on_the_cpu(shape: tuple[int, ...], dtype: torch.dtype, given: Any) -> None:
    x = made(shape, dtype)
    assert_same(lambda x: ops.interpolate(x, **given), lambda x: F.interpolate(x, **given), x, xla=True)


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_writing_to_the_result_leaves_the_input(scale: float) -> None:
    x = torch.ones(1, 2, 4)
    with ops.device_forms():
        ops.interpolate(x, scale_factor=scale).zero_()
    assert x.min() == 1


def test_the_older_name_gives_its_notice() -> None:
    x = torch.randn(1, 2, 4)
    with pytest.warns(UserWarning) as wanted:
        result = F.upsample(x, scale_factor=2)
    with pytest.warns(UserWarning) as ours, ops.device_forms():
        assert torch.equal(ops.upsample(x, scale_factor=2), result)
    assert [str(one.message) for one in ours] == [str(one.message) for one in wanted]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.interpolate(x, scale_factor=2)
