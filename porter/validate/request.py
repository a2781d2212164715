"""What to validate, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from porter.validate.settings import Preset

Progress = Callable[[str, str], None]  # case, what it does now


@dataclass(frozen=True)
class Request:
    """What to validate, and how."""

    device: str = "xla"  # cpu, xla or tpu
    preset: Preset = "full"
    cases: tuple[str, ...] = ()  # all, where empty
    seed: int = 0
    steps: int = 10  # steps after the first that the graph budget measures
    timeout: float = 1800.0  # seconds for each process
    reference: Path | None = None  # a recording of upstream's side; preset, seed and steps are then its own
    checkpoint: Path | None = None  # upstream's weights, where they fit
    probes: int = 0  # how often to run a failed case again to find the edits to blame
    rules: tuple[Path, ...] = ()  # folders of rules that the package was made with
    forms: str = "auto"  # "tpu" for a TPU's own forms of operations, on whatever device
