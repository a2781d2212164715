"""Host tensors that every step builds anew are sent to the device once."""

import pytest
import torch

from porter.runtime.ops import uploaded

from .graphs import cost_of, device


def test_on_the_host_nothing_is_copied() -> None:
    x = torch.arange(4.0)
    assert uploaded(x, "cpu") is x


@pytest.mark.xla
def test_equal_tensors_are_sent_once_and_the_results_are_independent() -> None:
    def step(value: float) -> torch.Tensor:
        made = uploaded(torch.tensor([[value, 2.0]], dtype=torch.float64), device())
        made[0, 1] = 5.0
        return made * 3

    step(1.0)
    cost = cost_of(lambda: step(1.0))
    assert cost.graphs == 1
    assert cost.uploads == 0
    assert step(1.0).cpu().equal(torch.tensor([[3.0, 15.0]], dtype=torch.float64))
    assert step(4.0).cpu().equal(torch.tensor([[12.0, 15.0]], dtype=torch.float64))
    assert uploaded(torch.tensor([[1.0, 2.0]], dtype=torch.float64), device()).cpu()[0, 1] == 2.0


@pytest.mark.xla
@pytest.mark.parametrize(
    "x", [torch.tensor(3), torch.zeros(0, 2), torch.ones(3, dtype=torch.bfloat16).requires_grad_()]
)
def test_any_dtype_and_shape(x: torch.Tensor) -> None:
    got = uploaded(x, device())
    assert got.dtype == x.dtype and got.device.type == "xla" and got.detach().cpu().equal(x.detach())
    assert got.requires_grad == x.requires_grad
