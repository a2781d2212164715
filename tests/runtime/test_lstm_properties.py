"""An LSTM of any options, given anything, does what torch's does."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from porter.runtime import ops

from .outcomes import assert_same, made, on_cpu, on_xla

_options = st.fixed_dictionaries(
    {},
    optional={
        "num_layers": st.integers(1, 2),
        "bias": st.booleans(),
        "batch_first": st.booleans(),
        "bidirectional": st.booleans(),
        "proj_size": st.sampled_from([0, 0, 2]),
        "dtype": st.sampled_from([torch.float32, torch.float32, torch.float64]),
    },
)
_inputs = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(lambda sizes: [*sizes, 3]) | st.just([2, 3, 5])
_states = st.sampled_from(["none", "right", "right", "batch", "rank", "hidden"])


def _given(options: dict[str, Any], shape: list[int], states: str) -> list[torch.Tensor]:
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = shape[0 if options.get("batch_first") else 1] if len(shape) > 2 else 1
    hidden = [layers, *([batch + (states == "batch")] if (len(shape) == 3) != (states == "rank") else [])]
    size = 4 + (states == "hidden")
    dtype = options.get("dtype", torch.float32)
    x = made(shape, dtype)
    if states == "none":
        return [x]
    return [x, made([*hidden, options.get("proj_size") or size], dtype, 1), made([*hidden, size], dtype, 2)]


def _check(options: dict[str, Any], shape: list[int], states: str, xla: bool = False) -> None:
    torch.manual_seed(0)
    original = nn.LSTM(3, 4, **options)
    ours = ops.LSTM(3, 4, **options)
    ours.load_state_dict(original.state_dict(), strict=True)

    def run(module: nn.LSTM) -> Any:
        def compute(x: torch.Tensor, *states: torch.Tensor) -> Any:
            module.zero_grad()
            output, (hidden, cell) = module.to(x.device)(x, tuple(states) or None)
            return output, hidden, cell

        return compute

    assert_same(run(ours), run(original), *_given(options, shape, states), xla=xla, rtol=1e-4, atol=1e-5)


@on_cpu
@given(_options, _inputs, _states)
def test_anything_gives_or_raises_what_it_does_in_torch(options: dict[str, Any], shape: list[int], states: str) -> None:
    _check(options, shape, states)


@pytest.mark.xla
@settings(on_xla, max_examples=6)
@given(_options, st.just([3, 2, 3]) | st.just([2, 3]), st.sampled_from(["none", "right"]))
def test_on_xla_it_gives_what_torch_gives_on_the_cpu(options: dict[str, Any], shape: list[int], states: str) -> None:
    _check(options, shape, states, xla=True)


def test_copies_of_any_kind_stay_what_they_are() -> None:
    ours, x = ops.LSTM(3, 4), torch.randn(5, 2, 3)
    wanted = ours(x)[0]
    ours.flatten_parameters()
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(copied) is ops.LSTM and torch.equal(copied(x)[0], wanted)
    assert repr(ours) == repr(nn.LSTM(3, 4))


def test_a_weight_that_is_normed_is_the_one_of_its_length() -> None:
    torch.manual_seed(0)
    original = nn.LSTM(3, 4)
    ours = ops.LSTM(3, 4)
    ours.load_state_dict(original.state_dict())
    with pytest.warns(FutureWarning):
        for norm, module in ((torch.nn.utils.weight_norm, original), (ops.weight_norm, ours)):
            norm(module, "weight_hh_l0").get_parameter("weight_hh_l0_g").data.mul_(2)
    x = torch.randn(5, 2, 3)
    with ops.device_forms():
        torch.testing.assert_close(ours(x)[0], original(x)[0])
