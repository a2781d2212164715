"""Cumulative sums on the device against those of the host, bit for bit."""

import pytest
import torch

from porter.runtime import ops

from .graphs import check_operation


@pytest.mark.xla
@pytest.mark.parametrize(("shape", "dim"), [((2, 5000, 3), 1), ((7,), 0), ((2, 3, 40), -1)])
def test_sums_and_their_gradients_are_those_of_the_host(shape: tuple[int, ...], dim: int) -> None:
    torch.manual_seed(0)
    check_operation(
        lambda x: ops.cumsum(x, dim),
        lambda x: torch.cumsum(x, dim),
        torch.rand(shape) * 0.9,
        least=140,
    )


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e25])
def test_phases_are_equal_at_any_size(scale: float) -> None:
    torch.manual_seed(1)
    x = (torch.rand(1, 3000) - 0.3) * scale
    with ops.device_forms():
        assert torch.equal(ops.cumsum(x, 1), torch.cumsum(x, 1))


def test_what_is_not_finite_stays_so() -> None:
    x = torch.tensor([1.0, float("inf"), 2.0, float("nan"), 3.0])
    with ops.device_forms():
        assert torch.equal(ops.cumsum(x, 0).isnan(), torch.cumsum(x, 0).isnan())
        assert ops.cumsum(x, 0)[1] == float("inf")


def test_whole_numbers_and_types_asked_for_are_summed_as_ever() -> None:
    x = torch.arange(5)
    with ops.device_forms():
        assert torch.equal(ops.cumsum(x, 0), torch.cumsum(x, 0))
        assert ops.cumsum(x.float(), 0, dtype=torch.float64).dtype == torch.float64
