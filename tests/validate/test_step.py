"""The loss of a step: what it sees, and in which units."""

from __future__ import annotations

import pytest
import torch

from porter.runtime import ops
from porter.runtime.ops.attention import Scores, Weights
from porter.validate.step import flatten, scaled_loss


def test_scales_take_loud_results_down_to_the_size_of_quiet_ones() -> None:
    loud, quiet = torch.full((4,), 100.0, requires_grad=True), torch.full((4,), 0.01, requires_grad=True)
    scales = {"loud": torch.tensor(100.0), "quiet": torch.tensor(0.01)}
    one = scaled_loss({"loud": loud}, scales)
    other = scaled_loss({"quiet": quiet}, scales)
    torch.testing.assert_close(one, other)


def test_a_vector_of_length_one_gets_a_gradient() -> None:
    given = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    scaled_loss({"unit": given / given.norm()}, {}).backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None
    assert given.grad.abs().max() > 1e-3


@pytest.mark.parametrize("value", [-2.0, 2.0])
def test_a_single_number_is_not_cancelled(value: float) -> None:
    given = torch.tensor(value, requires_grad=True)
    loss = scaled_loss({"number": given}, {"number": torch.tensor(abs(value))})
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss > 0.4
    assert given.grad is not None
    assert given.grad.abs() > 0.1


def test_results_without_a_gradient_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="no result has a gradient"):
        scaled_loss({"counts": torch.ones(3, dtype=torch.long), "fixed": torch.ones(3)}, {})


def test_a_result_that_waits_is_looked_at() -> None:
    queries, keys = torch.ones(1, 2, 3), torch.ones(1, 3, 2)
    found = dict(flatten((Weights.of(Scores(queries, keys)), 1)))
    assert torch.equal(found["0"], torch.softmax(queries @ keys, -1))


def test_other_objects_of_the_runtime_hold_no_results() -> None:
    assert dict(flatten({"a": ops.Dropout(), "b": torch.ones(1)})).keys() == {"b"}
