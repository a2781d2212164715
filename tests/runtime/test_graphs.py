"""The measuring itself: what must be counted is counted."""

import pytest
import torch
import torch.nn.functional as F

from porter.runtime import utils

from .graphs import cost_of, device


@pytest.mark.xla
def test_a_fallback_is_counted_with_its_transfers() -> None:
    x = utils.constant(torch.randn(1, 2, 6), device())
    cost = cost_of(lambda: F.interpolate(x, scale_factor=2))
    assert "aten::upsample_nearest1d" in cost.fallbacks
    assert cost.downloads > 0


@pytest.mark.xla
def test_a_host_sync_and_an_upload_are_counted() -> None:
    x = utils.constant(torch.randn(3), device())
    assert cost_of(lambda: (x + 1).sum().item()).fallbacks == {"aten::_local_scalar_dense": 1}
    assert cost_of(lambda: x + torch.randn(3).to(x.device)).uploads == 1
