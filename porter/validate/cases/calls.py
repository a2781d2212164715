"""Calls of the runtime's operations in many kinds: those that torch takes, and those that it turns down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from porter.validate.cases.base import Batch, Part
from porter.validate.cases.files import raised
from porter.validate.cases.shapes import Inputs
from porter.validate.settings import Settings

Calls = Mapping[str, Callable[[Any, Batch], object]]  # given one side's operations, and the batch


def calling(label: str, inputs: Inputs, taken: Calls, refused: Calls, *names: str) -> Part:
    """Calls with these members of the batch; of those that may be refused what they raise, or give."""

    def some(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        whole = inputs(subject, settings, generator)
        return {name: whole[name] for name in names}

    def call(ops: Any, given: Batch) -> object:
        found = {name: _without_doubles(function(ops, given)) for name, function in taken.items()}
        plain = {name: value.detach() for name, value in given.items()}
        return {"taken": found, "refused": {n: raised(partial(f, ops, plain)) for n, f in refused.items()}}

    return Part("ops", label, some, call=call, network=lambda ops: ops, label=label, constant=("weights",))


def _without_doubles(value: object) -> object:
    """Results in float64 without their gradients: in the loss, the limits of float64 would be those of all others."""
    return value.detach() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value
