"""Dropout and ReLU that keep a byte an element: the same elements in both passes, and gradients are torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops

from .graphs import assert_stays_on_device, decibels, device


def made(share: float = 0.4) -> tuple[ops.Dropout, torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 40, 30, generator=noise) + 0.5, torch.randn(2, 3, 30, 7, generator=noise)
    return ops.Dropout(share), x.requires_grad_(), y.requires_grad_()


def test_it_is_torchs_own_on_the_cpu() -> None:
    drop, x, _ = made()
    torch.manual_seed(3)
    wanted = F.dropout(x, 0.4)
    torch.manual_seed(3)
    assert torch.equal(drop(x), wanted)
    assert isinstance(drop, nn.Dropout) and repr(drop) == "Dropout(p=0.4, inplace=False)"


def test_what_is_dropped_gets_no_gradient_and_the_rest_is_scaled() -> None:
    drop, x, y = made()
    with ops.device_forms(tpu=True):
        dropped = drop(x)
        result = ops.matmul(dropped, y)
    slope = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    (result * slope).sum().backward()  # type: ignore[no-untyped-call]
    kept = dropped != 0
    assert 0.5 < kept.float().mean() < 0.7
    leaf, other = x.detach().requires_grad_(), y.detach().requires_grad_()
    wanted = torch.matmul(leaf * kept / 0.6, other)
    (wanted * slope).sum().backward()  # type: ignore[no-untyped-call]
    for ours, theirs in ((result, wanted), (x.grad, leaf.grad), (y.grad, other.grad)):
        assert ours is not None and theirs is not None
        assert decibels(ours, theirs) > 130


def test_another_reader_of_the_result_adds_its_gradient() -> None:
    drop, x, y = made()
    with ops.device_forms(tpu=True):
        dropped = drop(x)
        (ops.matmul(dropped, y).sum() + dropped.square().sum()).backward()
    wanted = (dropped != 0) / 0.6 * (y.sum(-1).unsqueeze(-2) + 2 * dropped).detach()
    assert x.grad is not None and decibels(x.grad, wanted) > 130


@pytest.mark.parametrize("case", ["written to", "other batches", "no gradient", "not training"])
def test_products_of_other_tensors_are_torchs(case: str) -> None:
    drop, x, y = made()
    with ops.device_forms(tpu=True):
        if case == "not training":
            drop.eval()
        with torch.set_grad_enabled(case != "no gradient"):
            dropped = drop(x)
            if case == "written to":
                dropped = dropped.mul_(2)
            right = y[0, 0] if case == "other batches" else y
            result = ops.matmul(dropped, right)
            assert torch.equal(result, torch.matmul(dropped, right))
    assert "_Product" not in repr(result.grad_fn)


def test_under_autocast_the_gradient_has_the_dtype_of_what_was_given() -> None:
    drop, x, y = made()
    with ops.device_forms(tpu=True), torch.autocast("cpu", dtype=torch.bfloat16):
        result = ops.matmul(drop(x), y)
    assert result.dtype == torch.bfloat16
    result.float().sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and y.grad is not None and x.grad.dtype == y.grad.dtype == torch.float32


def test_a_relu_has_the_values_and_gradients_of_torchs() -> None:
    x = torch.linspace(-1, 1, 21).requires_grad_()  # 0 is one of them
    leaf = x.detach().clone().requires_grad_()
    with ops.device_forms(tpu=True):
        result = ops.relu(x)
    result.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.relu(leaf).square().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(result, torch.relu(leaf)) and x.grad is not None and leaf.grad is not None
    assert torch.equal(x.grad, leaf.grad)
    assert result.grad_fn is not None and "_Rectified" in repr(result.grad_fn)


def test_a_relu_in_place_writes_where_torchs_does() -> None:
    x = torch.linspace(-1, 1, 21)
    with ops.device_forms(tpu=True):
        assert ops.relu(x, inplace=True) is x
    assert x.min() == 0


@pytest.mark.xla
def test_on_xla_it_is_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    device()
    monkeypatch.setenv("SOVITS_PORT_FORMS", "tpu")
    drop, x, y = made()
    given = [value.detach().to(device()).requires_grad_() for value in (x, y)]

    def step() -> object:
        for value in given:
            value.grad = None
        result = ops.matmul(drop(given[0]), given[1])
        result.square().mean().backward()  # type: ignore[no-untyped-call]
        return result, [value.grad for value in given]

    assert_stays_on_device(step, random_seeds=1)
