"""What a step costs on XLA, and the comparison of an operation with torch's original in all its forms."""

import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from porter.runtime import ops, utils

HAS_XLA = importlib.util.find_spec("torch_xla") is not None
needs_xla = pytest.mark.xla  # conftest.py skips those tests where torch_xla is not installed

Operation = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Cost:
    """What one step asked of the device."""

    graphs: int
    compiles: int
    uploads: int
    downloads: int
    fallbacks: dict[str, int]


def device() -> torch.device:
    os.environ.setdefault("PJRT_DEVICE", "CPU")
    return utils.get_xla_device()


@contextmanager
def never_run() -> Iterator[None]:
    """Graphs that are traced inside are forgotten at the end.

    XLA's CPU ends the process where it meets a call of a TPU's compiler, whichever test happens to run what is pending.
    """
    torch_xla: Any = importlib.import_module("torch_xla")
    torch_xla.sync(wait=True)
    try:
        yield
    finally:
        torch_xla._XLAC._clear_pending_irs(str(device()))


def cost_of(step: Callable[[], Any]) -> Cost:
    """Run `step` and everything it left pending; nothing that was pending before is counted."""
    torch_xla: Any = importlib.import_module("torch_xla")
    xm: Any = importlib.import_module("torch_xla.core.xla_model")
    metrics: Any = importlib.import_module("torch_xla.debug.metrics")

    torch_xla.sync(wait=True)
    metrics.clear_all()
    kept = step()
    torch_xla.sync(wait=True)
    xm.wait_device_ops()
    del kept
    counters = {name: int(metrics.counter_value(name) or 0) for name in metrics.counter_names()}

    def times(metric: str) -> int:
        data = metrics.metric_data(metric)
        return int(data[0]) if data else 0

    compiles = counters.get("UncachedCompile", 0)
    return Cost(
        graphs=compiles + counters.get("CachedCompile", 0),
        compiles=compiles,
        uploads=times("TransferToDeviceTime"),
        downloads=times("TransferFromDeviceTime"),
        fallbacks={name: count for name, count in counters.items() if name.startswith("aten::")},
    )


def assert_stays_on_device(step: Callable[[], Any], random_seeds: int = 0) -> None:
    """One graph, no fallback, nothing read back; the second time nothing compiled or uploaded but seeds."""
    first, second = cost_of(step), cost_of(step)
    for cost in (first, second):
        assert cost.fallbacks == {}
        assert cost.graphs == 1
        assert cost.downloads == 0
    assert second.compiles == 0
    assert second.uploads <= random_seeds


def decibels(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Signal-to-noise ratio; infinite for equal tensors, and for nan and inf at equal places."""
    assert value.shape == reference.shape
    assert value.dtype == reference.dtype
    value, reference = value.detach().cpu().double(), reference.detach().cpu().double()
    finite = reference.isfinite()
    assert torch.equal(value[~finite].nan_to_num(), reference[~finite].nan_to_num())
    noise = (value - reference)[finite].square().sum()
    if noise == 0:
        return math.inf
    return float(10 * torch.log10(reference[finite].square().sum() / noise))


def run(
    operation: Operation, inputs: Sequence[torch.Tensor], slope: torch.Tensor | None = None
) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """The result, and the gradient of each input when the result's own is `slope` (one for each value)."""
    given = [value.detach().requires_grad_(value.is_floating_point()) for value in inputs]
    result = operation(*given)
    if result.requires_grad:
        torch.autograd.backward(result, torch.ones_like(result) if slope is None else slope)
    return result, [value.grad for value in given]


def check_operation(
    ours: Operation,
    original: Operation,
    *inputs: torch.Tensor,
    least: float = math.inf,
    on_cpu: float = math.inf,
    random_seeds: int = 0,
) -> None:
    """Compare values and gradients in decibels: on the CPU in both forms, and on XLA where it is there."""
    result = original(*inputs)
    # Random slopes: with a regular pattern a gradient can cancel out, and the ratio measures rounding alone.
    slope = torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result.dtype)
    wanted = run(original, inputs, slope)
    compare(run(ours, inputs, slope), wanted, on_cpu)
    with ops.device_forms():
        compare(run(ours, inputs, slope), wanted, least)
    if HAS_XLA:
        sent = [utils.constant(value, device()) for value in inputs]
        sent_slope = utils.constant(slope, device())
        compare(run(ours, sent, sent_slope), wanted, least)
        assert_stays_on_device(lambda: run(ours, sent, sent_slope), random_seeds)


def compare(
    got: tuple[torch.Tensor, list[torch.Tensor | None]],
    wanted: tuple[torch.Tensor, list[torch.Tensor | None]],
    least: float,
) -> None:
    assert decibels(got[0], wanted[0]) >= least
    for ours, original in zip(got[1], wanted[1], strict=True):
        assert (ours is None) == (original is None)
        if ours is not None and original is not None:
            assert decibels(ours, original) >= least
