"""What `bench` measured, as data; the command prints it or writes it as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from porter.validate.budget import StepCost

Side = Literal["unported", "port", "other"]
Verdict = Literal["complete", "error", "timeout"]
Figures = Mapping[str, float]

# Names in JSON → what a person reads. Times are in seconds.
FIGURES: dict[str, str] = {
    "compiles": "graphs compiled",
    "executions": "graphs run",
    "fallbacks": "fallbacks to the host",
    "syncs": "host syncs",
    "downloads": "transfers to the host",
    "uploads": "transfers to the device",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class SideFigures:
    """One side's steps, as far as it came."""

    side: Side
    verdict: Verdict
    steps: tuple[StepCost, ...] = ()
    error: str = ""  # one sentence
    where: str = ""  # its line, of upstream or with the rule that made it
    findings: tuple[str, ...] = ()  # how its weights differ from upstream's
    backend: str = ""
    seconds: float = 0.0  # everything, with import and loading

    @property
    def first(self) -> Figures | None:
        """Costs of the first step."""
        return _figures(self.steps[0]) if self.steps else None

    @property
    def later(self) -> Figures | None:
        """Costs of a step after the first: the median of their times, the mean of all else."""
        told = [_figures(step) for step in self.steps[1:]]
        if not told:
            return None
        middle = {"seconds": median}
        return {name: middle.get(name, fmean)([figures[name] for figures in told]) for name in FIGURES}

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the most seconds of a step after the first."""
        seconds = [step.seconds for step in self.steps[1:]]
        return (min(seconds), max(seconds)) if seconds else None


@dataclass(frozen=True)
class CaseFigures:
    """All sides of one case, the unported first."""

    name: str
    sides: tuple[SideFigures, ...] = ()
    unavailable: str = ""  # why this upstream has no such case
    problem: str = ""  # why there is no work for the sides

    def side(self, name: Side) -> SideFigures | None:
        """One of the sides, None where it was not asked for."""
        return next((side for side in self.sides if side.side == name), None)

    @property
    def passed(self) -> bool:
        """Whether the port has all its figures; what another side does is a result."""
        port = self.side("port")
        return bool(self.unavailable) or (port is not None and port.verdict == "complete")


@dataclass(frozen=True)
class BenchOutcome:
    """What a whole run measured."""

    upstream: str
    revision: str
    port: str
    other: str
    preset: str
    steps: int  # after the first
    timeout: float
    versions: dict[str, str]
    cases: tuple[CaseFigures, ...]

    @property
    def passed(self) -> bool:
        """Whether every case has the port's figures."""
        return all(case.passed for case in self.cases)


def ratios(side: Figures | None, unported: Figures | None) -> dict[str, float | None]:
    """Each figure as a multiple of the unported side's; None where one is missing or the unported one is 0."""
    if side is None or unported is None:
        return dict.fromkeys(FIGURES)
    return {name: side[name] / unported[name] if unported[name] else None for name in FIGURES}


def _figures(step: StepCost) -> dict[str, float]:
    counts = {name: getattr(step, name) for name in FIGURES}
    return {**counts, "fallbacks": sum(step.fallbacks.values())}
