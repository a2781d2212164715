"""The cost of each step, on disk as soon as the step has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from porter.validate.budget import StepCost

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from porter.validate.cases.base import Batch, Case, Subjects


def measure_each(
    case: Case,
    model: Subjects,
    batches: Sequence[Batch],
    device: torch.device,
    scales: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Run one step for each batch; `path` always holds the costs of all steps that have ended."""
    from porter.validate.counting import measure

    steps: list[StepCost] = []
    for batch in batches:
        steps += measure(case, model, [batch], device, scales).steps
        whole = path.with_suffix(".new")  # the process may be killed while it writes
        whole.write_text(json.dumps([asdict(step) for step in steps]), encoding="utf-8")
        whole.replace(path)


def read_steps(path: Path) -> tuple[StepCost, ...]:
    """What `measure_each` wrote; none where there is no such file."""
    if not path.is_file():
        return ()
    return tuple(StepCost(**told) for told in json.loads(path.read_text(encoding="utf-8")))
