"""What to validate, and how."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from porter.validate.cases import chosen, is_found
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

    def names(self) -> tuple[str, ...]:
        """The written cases that are asked for. PortError for a name that means none, nor any by inspection."""
        asked = tuple(case for case in self.cases if not is_found(case))
        if self.cases and not asked:
            return ()
        return chosen(asked, forms=self.counts_forms, kernels=self.counts_forms and self.kernels)

    @property
    def tpu_forms(self) -> bool:
        """Whether operations take a TPU's own forms."""
        return self.forms == "tpu" or self.device == "tpu"

    @property
    def counts_forms(self) -> bool:
        """Whether a TPU's forms have to be taken as often as is known, by the judge's own networks among others.

        On the CPU alone: autograd runs the backward pass of another device in a thread of its own, where nothing
        counts, and these networks ask for what XLA hands back to the host.
        """
        return self.forms == "tpu" and self.device == "cpu"

    @property
    def kernels(self) -> bool:
        """Whether kernels run: they are forms of a TPU's that jax compiles, or interprets."""
        return self.tpu_forms and not without_kernels()


def without_kernels() -> str:
    """Why no kernel can be had here, in a clause; "" where they can."""
    if os.environ.get("SOVITS_PORT_KERNELS", "auto").lower() == "off":
        return "SOVITS_PORT_KERNELS is off"
    return "" if find_spec("jax") is not None else "jax is not installed"
