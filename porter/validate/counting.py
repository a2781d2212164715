"""Measuring steps on XLA, and finding the lines that go over the budget."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch_xla
import torch_xla.debug.metrics
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch_xla.core import xla_model

from porter.validate.budget import SYNC, Budget, Drift, Event, StepCost
from porter.validate.cases.base import Batch, Case, Subjects
from porter.validate.noise import caller
from porter.validate.step import StepTensors, materialized, run_step

metrics: Any = torch_xla.debug.metrics  # untyped
_TRANSFERS = {"downloads": "device-to-host transfers", "uploads": "host-to-device transfers"}
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def measure(
    case: Case,
    model: Subjects,
    batches: Sequence[Batch],
    device: torch.device,
    scales: Mapping[str, Tensor],
    after_first: Callable[[StepTensors], None] | None = None,
    traced: Callable[[StepTensors], None] = lambda step: None,
) -> Budget:
    """Cost of one step for each batch, from the very first, of a model that is on the device.

    `after_first` is given what the first step computed; what it costs is not counted. `traced` is given each step
    before it is computed.
    """
    torch_xla.sync(wait=True)
    steps = []
    for index, batch in enumerate(batches):
        cost, computed = _measure_step(case, model, batch, device, scales, traced)
        steps.append(cost)
        if index == 0 and after_first is not None:
            after_first(computed)
    return Budget(tuple(steps), len(batches[0]), allowance=case.allowance(model))


def diagnose(
    budget: Budget,
    case: Case,
    model: Subjects,
    batches: Sequence[Batch],
    device: torch.device,
    scales: Mapping[str, Tensor],
    roots: Sequence[str],
) -> Budget:
    """The same budget with the lines that cost, and the first operator that changes from step to step.

    The steps are traced once more, operator by operator. The mode that watches them runs below
    functionalization, so numbers in this trace are not to be trusted, which nobody reads here.
    """
    watches = []
    for batch in batches[:2]:
        given = materialized(batch, device)  # outside, so that the batch's own transfers do not count
        with torch.autograd.set_detect_anomaly(True, check_nan=False), Watch(roots) as watch:
            run_step(case, model, given, scales)
        watches.append(watch)
        model.zero_grad(set_to_none=True)  # nobody needs this graph, so let it not be compiled
    drift = first_difference(*watches) if len(watches) == 2 else None
    return replace(budget, events=tuple(watches[-1].events()), drift=drift)


class Watch(TorchDispatchMode):
    """Notes which operators go to the host, and with which shapes and numbers each is called."""

    def __init__(self, roots: Sequence[str]) -> None:
        """`roots` are the folders whose lines count."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[str, str, str]] = []  # operator, line, arguments
        self._counts: Counter[tuple[str, str, str, bool]] = Counter()
        self._roots = tuple(f"{root}/" for root in roots)

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        where, backward = self._where()
        operator = func._schema.name
        self.calls.append((operator, where, _describe((args, kwargs or {}))))
        before = figures()
        result = func(*args, **(kwargs or {}))
        spent = figures() - before
        on_host = any(figure.startswith("aten::") for figure in spent)
        for figure, count in spent.items():
            if figure.startswith("aten::"):
                kind = "host syncs" if figure == SYNC else "fallbacks"
                self._counts[kind, figure, where, backward] += count
            elif figure in _TRANSFERS and not on_host:
                self._counts[_TRANSFERS[figure], operator, where, backward] += count
        return result

    def events(self) -> list[Event]:
        """What went to the host, the most frequent first."""
        return [Event(*key, count) for key, count in self._counts.most_common()]

    def _where(self) -> tuple[str, bool]:
        """The line that runs, or in the backward pass the line whose gradient is computed."""
        node: Any = torch._C._current_autograd_node()
        if node is None:
            return caller(self._roots), False
        for text in reversed(node.metadata.get("traceback_", [])):
            for found in reversed(list(_FRAME.finditer(text))):
                for root in self._roots:
                    if found["file"].startswith(root):
                        return f"{found['file'].removeprefix(root)}:{found['line']}", True
        return "unknown line", True


def first_difference(one: Watch, two: Watch) -> Drift | None:
    """The first call that differs between two steps; None where they trace the same."""
    for (operator, where, before), other in zip(one.calls, two.calls, strict=False):
        if (operator, where, before) != other:
            return Drift(operator, where, before, other[2] if other[:2] == (operator, where) else " ".join(other))
    longer = max(one.calls, two.calls, key=len)[min(len(one.calls), len(two.calls)) :]
    return Drift(longer[0][0], longer[0][1], "called", "not called") if longer else None


def _measure_step(
    case: Case,
    model: Subjects,
    batch: Batch,
    device: torch.device,
    scales: Mapping[str, Tensor],
    traced: Callable[[StepTensors], None],
) -> tuple[StepCost, StepTensors]:
    started = time.perf_counter()
    before = figures()
    computed = run_step(case, model, materialized(batch, device), scales)
    traced(computed)
    torch_xla.sync()
    xla_model.wait_device_ops()
    cost = figures() - before
    fallbacks = {op: n for op, n in cost.items() if op.startswith("aten::") and op != SYNC}
    told = StepCost(
        compiles=cost["compiles"],
        executions=cost["executions"],
        fallbacks=fallbacks,
        syncs=cost[SYNC],
        downloads=cost["downloads"],
        uploads=cost["uploads"],
        seconds=time.perf_counter() - started,
        nodes=cost["nodes"],
    )
    return told, computed


def figures() -> Counter[str]:
    """All figures since the process began."""
    result: Counter[str] = Counter()
    for name in metrics.counter_names():
        if name.startswith("aten::"):
            result[name] = metrics.counter_value(name) or 0
    result["compiles"] = metrics.counter_value("UncachedCompile") or 0
    result["executions"] = metrics.counter_value("ExecuteComputation") or 0
    for figure, metric in (("downloads", "TransferFromDeviceTime"), ("uploads", "TransferToDeviceTime")):
        told = metrics.metric_data(metric)
        result[figure] = int(told[0]) if told else 0
    sizes = metrics.metric_data("TensorsGraphSize")
    result["nodes"] = int(sizes[1]) if sizes else 0
    return result


def _describe(value: object) -> str:
    """Shapes and numbers of an operator's arguments; equal texts make equal graphs."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_describe(part) for part in value)})"
    if isinstance(value, dict):
        return f"({', '.join(f'{key}={_describe(part)}' for key, part in value.items())})"
    return str(value)
