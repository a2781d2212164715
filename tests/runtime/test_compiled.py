"""What torch.compile makes of the emitted code on the CPU: one graph, where upstream's own code is one."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.distributions as D

from porter.runtime import utils


@functools.lru_cache(maxsize=8)
def _table(length: int) -> torch.Tensor:
    return utils.constant(torch.arange(length), "cpu", torch.float32)


def _bias(x: torch.Tensor) -> torch.Tensor:
    distances = utils.on_device(x.device, torch.arange, x.shape[-1])
    return x + distances.to(x.dtype) + utils.computed_on_host(torch.linspace, 0, 1, x.shape[-1], device=x.device)


def _drawn(x: torch.Tensor) -> torch.Tensor:
    return D.Normal(x, x.exp(), validate_args=None if utils.on_host(x) else False).mean


@pytest.mark.parametrize(
    "code", [_bias, _drawn, lambda x: x * _table(4)], ids=["made on a device", "drawn", "constant"]
)
def test_it_is_one_graph_and_computes_the_same(code: object) -> None:
    assert callable(code)
    D.Distribution.set_default_validate_args(False)  # as torch.compile does when a process first calls it
    x = torch.randn(3, 4)
    compiled = torch.compile(code, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), code(x))


def test_a_default_device_does_not_lead_what_is_made_elsewhere() -> None:
    with torch.device("meta"):
        made = utils.on_device("cpu", torch.ones, 3)
    assert made.device.type == "cpu"
    assert utils.on_device("meta", torch.ones, 3).device.type == "meta"
