"""One program, or many, on both sides: what differs, and which rules had a hand in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch

from .comparing import CLOSE, EXACT, ROUGH, Difference, differences
from .porting import Ported, Workplace
from .programs import Program
from .running import Observation, observe


@dataclass(frozen=True)
class Verdict:
    """What became of a program."""

    ported: Ported
    differences: tuple[Difference, ...]
    raised: bool = False  # whether upstream raised in one of the calls

    @property
    def program(self) -> Program:
        """The program."""
        return self.ported.program


def judge(place: Workplace, programs: Sequence[Program], device: torch.device | None = None) -> Iterator[Verdict]:
    """Port all programs together, then run each on both sides; the port on `device`, where one is given."""
    for ported in place.port(programs):
        yield compare(ported) if device is None else compare_on(device, ported)


# Rules that put one operation in the place of a loop over samples. A loop over none leaves what stood before: a number
# instead of the sum of no losses, a tensor without gradients instead of no windows. Batches of none are not judged.
_OF_SAMPLES = {"SHP001", "SHP002", "SHP003"}


def compare(ported: Ported) -> Verdict:
    """Run one program on both sides, on the CPU."""
    upstream, port = (_observed(ported, module) for module in (ported.upstream, ported.port))
    tolerance = CLOSE if "close" in ported.rules.values() else EXACT
    if ported.rules.keys() & _OF_SAMPLES:
        upstream, port = ([o for o in side if o.samples] for side in (upstream, port))
    found = differences(upstream, port, tolerance, padded="SHP008" in ported.rules)
    return Verdict(ported, tuple(found), any(o.error for o in upstream))


def compare_on(device: torch.device, ported: Ported) -> Verdict:
    """Run one program as written on the CPU, and its port on another device.

    Not judged: what asks which device it is on, draws, and results that fail where `check` lists a line of the program.
    """
    upstream = _observed(ported, ported.upstream)
    raised = any(o.error for o in upstream)
    if raised or any(word in ported.program.source + ported.program.shared for word in _OF_THE_DEVICE):
        return Verdict(ported, (), raised)
    port = _observed(ported, ported.port, device)
    if ported.residual and any(o.error for o in port):
        return Verdict(ported, ())
    found = differences(upstream, port, ROUGH, padded="SHP008" in ported.rules)
    return Verdict(ported, tuple(d for d in found if d.part in ("result", "error", "gradients")))


# What is another on another device: its name, its generator.
_OF_THE_DEVICE = (
    "cpu",
    "get_device",
    "is_available",
    "rand",
    "normal",
    "uniform",
    "Dropout",
    "rsample",
    "spectral_norm",
)


def _observed(ported: Ported, module: ModuleType | Exception, device: torch.device | None = None) -> list[Observation]:
    if isinstance(module, ModuleType):
        return observe(ported.program, module, device)
    return [Observation(error=(type(module).__name__, str(module)), where="import")]


def blamed(place: Workplace, verdict: Verdict) -> tuple[str, ...]:
    """The rules without any one of which there is no difference; all that are at work where there is no such."""
    found = []
    for code in verdict.ported.rules:
        (other,) = place.port([verdict.program], without=(code,))
        if not compare(other).differences:
            found.append(code)
    return tuple(found) or tuple(verdict.ported.rules)
