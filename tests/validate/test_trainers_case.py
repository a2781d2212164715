"""What the cases of trainers put around a trainer."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from porter.validate.cases import trainers


def gist(tensors: list[Tensor]) -> dict[str, Any]:
    found = trainers._gist(tensors)
    assert isinstance(found, dict)
    return found


def test_a_small_tensor_counts_as_much_as_a_large_one_and_rounding_for_nothing() -> None:
    drawn = torch.Generator().manual_seed(0)
    large, small, rounding = (
        torch.randn(count, generator=drawn) * scale for count, scale in ((500, 10), (3, 1e-3), (3, 1e-8))
    )
    told = gist([large, small, rounding])
    other = gist([large, small * torch.tensor([1.0, 1.0, 1.1]), rounding * 5])
    differ = (told["values"] != other["values"]).nonzero().flatten()
    assert differ.numel() > 0
    assert (told["values"] - other["values"]).abs()[differ].max() > 1e-3
    assert told["sizes"][2] == 0 and told["values"][-3:].abs().sum() == 0


def test_what_is_stored_in_half_precision_is_compared_so() -> None:
    assert gist([torch.ones(3).half()])["values"].dtype == torch.float16
    assert gist([torch.ones(3).half(), torch.ones(3)])["values"].dtype == torch.float32


def test_a_few_batches_of_an_epoch_are_loaded_here() -> None:
    before = torch.get_rng_state()
    loader = trainers._few(DataLoader)(list(range(20)), batch_size=4, num_workers=5, persistent_workers=True)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert torch.equal(before, torch.get_rng_state())


def test_gradients_are_kept_before_each_step() -> None:
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
    kept: list[Any] = []
    with trainers._watched_steps(kept):
        for factor in (1.0, 2.0):
            optimizer.zero_grad()
            (layer(torch.ones(1, 2)) * factor).sum().backward()
            optimizer.step()
    assert [told["sizes"].tolist() for told in kept] == [[1.0, 1.0], [2.0, 2.0]]


def test_a_network_is_made_narrow_only_inside() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 64, 3, groups=1)

    with trainers._narrow(Net):
        assert Net().conv.weight.shape == (4, 1, 3)
        assert nn.Conv1d(32, 64, 3).weight.shape == (64, 32, 3)
    assert Net().conv.weight.shape == (64, 1, 3)
