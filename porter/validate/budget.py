"""The graph budget: what a training step on XLA may cost, and how a measured one compares. Data only, no
torch.

What the figures mean, with their names in `torch_xla.debug.metrics` (torch_xla 2.9):

- compiles: `UncachedCompile`, graphs that XLA had to compile because no earlier step had them.
- nodes: `TensorsGraphSize`, size of the traced graphs.
- executions: `ExecuteComputation`, graphs run; more than one a step means that something cut the graph.
- fallbacks: counters `aten::OP`, operators without a lowering: their inputs go to the host, are computed
  there and come back, and everything before them has to be computed first.
- syncs: `aten::_local_scalar_dense`, a number that Python asked for (`.item()`, `if tensor:`,
  `float(tensor)`).
- downloads: samples of `TransferFromDeviceTime`, one for each transfer from device to host.
- uploads: samples of `TransferToDeviceTime`, one for each tensor or scalar from host to device. Each tensor
  of the batch is one, and the seed of the device's generator is one a step. Constants go up in the first step
  and are kept. What else upstream's own behaviour asks for is an `Allowance`, told by the case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SYNC = "aten::_local_scalar_dense"
_SEEDS = 1


@dataclass(frozen=True)
class StepCost:
    """What one step cost."""

    compiles: int
    executions: int
    fallbacks: Mapping[str, int]  # operator → times
    syncs: int
    downloads: int
    uploads: int
    seconds: float
    nodes: int = 0  # of the traced graphs, before XLA's own passes


@dataclass(frozen=True)
class Overrun:
    """A figure above its limit."""

    figure: str
    step: int  # 0 is the first
    count: int
    limit: int
    detail: str = ""

    def __str__(self) -> str:
        when = "in the first step" if self.step == 0 else f"in step {self.step + 1}"
        name = f"{self.figure} of {self.detail}" if self.detail else self.figure
        return f"{self.count} {name} {when}, where {self.limit or 'none'} may be"


@dataclass(frozen=True)
class Event:
    """Where a cost arises: an operator, and the line of the package that called it."""

    figure: str
    operator: str
    where: str  # file:line, "unknown line" where no line of the package was running
    backward: bool
    count: int


@dataclass(frozen=True)
class Drift:
    """The first operator that two steps call differently, and so compile anew."""

    operator: str
    where: str
    first: str  # arguments in one step
    second: str  # in a later one


@dataclass(frozen=True)
class Allowance:
    """What each step costs because upstream's own behaviour, or what the port is for, asks for it."""

    printed: int = 0  # values that upstream prints; each is read once the step is over
    restarts: int = 0  # of the device's generator, each from a number of the host: one a checkpointed region that draws
    fetched: int = 0  # tensors that are wanted on the host
    sent: int = 0  # tensors that the host computes
    sized: int = 0  # values that decide on a bucket: each is read, and another bucket is another graph


@dataclass(frozen=True)
class Budget:
    """Costs of the first step and those after it, whose batches differ in lengths but not in shapes."""

    steps: tuple[StepCost, ...]
    batch_tensors: int
    events: tuple[Event, ...] = field(default=())
    drift: Drift | None = None
    allowance: Allowance = Allowance()

    def overruns(self) -> list[Overrun]:
        """All figures above their limits; the same one in a later step is told once."""
        result: dict[tuple[str, str, bool], Overrun] = {}
        for index, step in enumerate(self.steps):
            for overrun in self._of_step(index, step):
                result.setdefault((overrun.figure, overrun.detail, index > 0), overrun)
        return list(result.values())

    def compile_limit(self, step: int) -> int:
        """How many graphs a step may compile; 0 is the first step."""
        return self.allowance.sized + (1 if step == 0 else 0)

    def _of_step(self, index: int, step: StepCost) -> list[Overrun]:
        first = index == 0
        read = self.allowance.printed + self.allowance.sized
        found = [
            Overrun("compiles", index, step.compiles, self.compile_limit(index)),
            *(Overrun("fallbacks", index, n, 0, op) for op, n in sorted(step.fallbacks.items())),
            Overrun("host syncs", index, step.syncs, read),
            Overrun("device-to-host transfers", index, step.downloads, read + self.allowance.fetched),
        ]
        if not first:
            limit = self.batch_tensors + _SEEDS + self.allowance.restarts + self.allowance.sent
            found.append(Overrun("host-to-device transfers", index, step.uploads, limit))
        return [overrun for overrun in found if overrun.count > overrun.limit]


def budget_from(told: Mapping[str, Any]) -> Budget:
    """A budget as `dataclasses.asdict` and JSON give it back."""
    return Budget(
        steps=tuple(StepCost(**step) for step in told["steps"]),
        batch_tensors=int(told["batch_tensors"]),
        events=tuple(Event(**event) for event in told["events"]),
        drift=Drift(**told["drift"]) if told["drift"] else None,
        allowance=Allowance(**told["allowance"]),
    )
