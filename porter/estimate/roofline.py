"""The least time that a graph can take: its arithmetic at the chip's peak, or its traffic at the HBM's speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from porter.estimate.chips import Chip

Bound = Literal["compute", "memory"]


@dataclass(frozen=True)
class Roofline:
    """A graph below the roof of a chip."""

    compute: float  # seconds for its FLOPs
    memory: float  # seconds for its bytes
    intensity: float  # FLOPs a byte

    @property
    def seconds(self) -> float:
        """The greater of both: they can overlap."""
        return max(self.compute, self.memory)

    @property
    def bound(self) -> Bound:
        """What takes longer."""
        return "compute" if self.compute > self.memory else "memory"

    @property
    def reach(self) -> float:
        """The part of the chip's peak, 0 to 1, that a graph of this intensity can have."""
        return self.compute / self.seconds if self.seconds else 0.0


def roofline(flops: float, accessed: float, chip: Chip) -> Roofline:
    """The roofline of `flops` operations on `accessed` bytes, on one device of `chip`."""
    return Roofline(flops / chip.peak, accessed / chip.speed, flops / accessed if accessed else 0.0)


def ridge(chip: Chip) -> float:
    """FLOPs a byte from which on the arithmetic takes longer than the traffic."""
    return chip.peak / chip.speed
