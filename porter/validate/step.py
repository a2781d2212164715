"""One step, forward and in training backward, the same on both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Subjects
from porter.validate.character import Kinds, kinds, members, modes, owners_of
from porter.validate.waiting import looked_at

_PERIOD = 31  # a prime, so that no axis of a tensor falls into step with it
_LEAST = 1e-12  # a mean square below this is nothing to divide by


class NoGradientError(ValueError):
    """No result of a case that differentiates has a gradient."""


@dataclass
class StepTensors:
    """What one step gave, by name, in order; still on the device that it ran on."""

    results: dict[str, Tensor]
    gradients: dict[str, Tensor]  # of parameters, and of the members of the batch that the case differentiates
    without_gradient: tuple[str, ...]
    buffers: dict[str, Tensor]
    written: tuple[str, ...] = ()  # members of the batch that were written in place
    kinds: Kinds = field(default_factory=dict)  # what the results are besides their values
    modes: Mapping[str, str] = field(default_factory=dict)  # what is switched after the call

    def groups(self) -> Mapping[str, dict[str, Tensor]]:
        """The three groups that are compared, by name."""
        return {"results": self.results, "gradients": self.gradients, "buffers": self.buffers}


def run_step(case: Case, model: Subjects, batch: Batch, scales: Mapping[str, Tensor]) -> StepTensors:
    """Clear gradients, run forward and, where the case has gradients, backward, and collect.

    The loss adds up, for all floating-point results in units of `scales`, their mean square and their mean product with
    a fixed pattern, so that everything with a gradient gets one: the mean square of a vector of length one has none.
    Gradients are set to None first: accumulating them would be another graph in the second step.
    """
    if not case.gradients:
        return run_forward(case, model, batch, torch.no_grad())
    versions = _versions(batch)
    model.zero_grad(set_to_none=True)
    leaves = {k: v.detach().clone().requires_grad_() for k, v in batch.items() if case.differentiates(k, v)}
    given = {**batch, **leaves}
    returned = case.run(model, given)
    found, switched = kinds(returned, owners_of(model, given)), modes()
    results = dict(flatten(returned))
    loss = scaled_loss(results, scales)
    loss.backward()  # type: ignore[no-untyped-call]
    results["loss"] = loss
    gradients = _gradients(model, leaves)
    return StepTensors(
        results={name: value.detach() for name, value in results.items()},
        gradients={name: value for name, value in gradients.items() if value is not None},
        without_gradient=tuple(name for name, value in gradients.items() if value is None),
        buffers=dict(model.named_buffers()),
        written=_written(batch, versions),
        kinds=found,
        modes=switched,
    )


def _gradients(model: Subjects, leaves: Batch) -> dict[str, Tensor | None]:
    """Gradients of members of the batch, and of parameters, by name; None where one has none."""
    given = {f"{name.partition('/')[0]}.input {name.partition('/')[2]}": leaf.grad for name, leaf in leaves.items()}
    return given | {name: parameter.grad for name, parameter in model.named_parameters()}


def run_forward(case: Case, model: Subjects, batch: Batch, mode: AbstractContextManager[object]) -> StepTensors:
    """Run forward alone, in `mode`, and collect."""
    versions = {} if any(value.is_inference() for value in batch.values()) else _versions(batch)
    with mode:
        returned = case.run(model, batch)
        found, switched = kinds(returned, owners_of(model, batch)), modes()
        results = {name: value.detach() for name, value in flatten(returned)}
    written = _written(batch, versions) if versions else ()
    return StepTensors(results, {}, (), dict(model.named_buffers()), written, found, switched)


def _versions(batch: Batch) -> dict[str, int]:
    return {name: value._version for name, value in batch.items()}


def _written(batch: Batch, versions: Mapping[str, int]) -> tuple[str, ...]:
    # A member that has a gradient is run as a leaf, where autograd itself refuses to write.
    return tuple(name for name, value in batch.items() if value._version != versions[name])


def scaled_loss(results: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> Tensor:
    """Sum over all floating-point results, by their scales, of mean square and mean product with a pattern; a scalar.

    A scale is a tensor of no dimensions on the results' device, the root of a mean square.
    """
    parts = []
    for name, value in results.items():
        if value.is_floating_point() and value.requires_grad:
            wide = _wide(value)
            unit = wide / scales[name].to(wide.dtype) if name in scales else wide
            parts.append(unit.square().mean() + (unit * _pattern(unit)).mean())
    if not parts:
        raise NoGradientError("no result has a gradient")
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _pattern(value: Tensor) -> Tensor:
    """Numbers from -1/2 to 1/2 in the shape of `value`, the same everywhere: whole numbers are exact on any device.

    No more than that, or it could undo the square of a result that is a single number.
    """
    places = torch.arange(value.numel(), device=value.device, dtype=torch.int32) % _PERIOD
    return (places.to(value.dtype) / (_PERIOD - 1) - 0.5).reshape(value.shape)


def _wide(value: Tensor) -> Tensor:
    """At least float32."""
    return value if value.dtype == torch.float64 else value.float()


@torch.no_grad()
def loss_scales(case: Case, model: Subjects, batch: Batch) -> dict[str, float]:
    """The root of the mean square of each result.

    Without them the loudest result decides: a fresh decoder is so quiet that its gradients would vanish
    beside those of the latents, and be lost in the rounding of what adds up.
    """
    squares = {
        name: float(value.float().square().mean())
        for name, value in flatten(case.run(model, batch))
        if value.is_floating_point()
    }
    return {name: math.sqrt(value) for name, value in squares.items() if value > _LEAST and math.isfinite(value)}


def flatten(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors and numbers in a result, named by their way through tuples, lists, dicts and dataclasses: `5.0`.

    A number is a tensor of none of the dimensions: what upstream reads with `.item()` may stay a tensor in the port.
    """
    value = looked_at(value)
    if isinstance(value, Tensor):
        yield name or "result", value
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name or "result", torch.tensor(value)
        return
    for key, member in members(value) or ():
        yield from flatten(member, f"{name}.{key}" if name else key)


def materialized(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}
