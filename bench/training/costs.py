"""What a trainer's steps cost on XLA, by the figures that the process itself read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.training.running import Step
from porter.validate.budget import SYNC


@dataclass(frozen=True)
class Costs:
    """Figures of all steps of a run together, and what should not have been."""

    shapes: int  # kinds of batches
    compiles_new: int  # in the first step of each kind of batch
    compiles_later: int
    fallbacks: Mapping[str, int]  # operator → times
    syncs_quiet: int  # host syncs in steps that logged nothing
    syncs: int
    downloads_quiet: int  # transfers to the host in steps that logged nothing
    downloads: int
    uploads: float  # transfers to the device a step, the shared noise left out, over steps that compiled nothing
    seconds: float  # a step that compiled nothing, median

    def problems(self) -> list[str]:
        """What should not have been, in sentences."""
        result = []
        if self.compiles_later:
            result.append(f"{self.compiles_later} graphs were compiled for kinds of batches that had been there before")
        if self.fallbacks:
            told = ", ".join(f"{name} {count} times" for name, count in sorted(self.fallbacks.items()))
            result.append(f"operators ran on the host: {told}")
        if self.syncs_quiet:
            result.append(f"{self.syncs_quiet} host syncs in steps that logged nothing")
        if self.downloads_quiet:
            result.append(f"{self.downloads_quiet} transfers to the host in steps that logged nothing")
        return result


def costs_of(steps: Sequence[Step], log_interval: int) -> Costs:
    """Add up the figures of a run's steps, of which each `log_interval`-th logs."""
    seen: set[tuple[tuple[int, ...], ...]] = set()
    fallbacks: Counter[str] = Counter()
    total: Counter[str] = Counter()
    calm = []
    for step in steps:
        figures = step.figures
        fallbacks.update({name: n for name, n in figures.items() if name.startswith("aten::") and name != SYNC})
        compiles, quiet = figures.get("compiles", 0), step.number % log_interval != 0
        total["later" if step.shapes in seen else "new"] += compiles
        seen.add(step.shapes)
        for name, figure in (("syncs", SYNC), ("downloads", "downloads")):
            total[name] += figures.get(figure, 0)
            total[f"{name} quiet"] += figures.get(figure, 0) if quiet else 0
        if not compiles:
            calm.append(step)
    times = sorted(step.seconds for step in calm)
    uploads = [step.figures.get("uploads", 0) - sum(step.draws.values()) for step in calm]
    return Costs(
        shapes=len(seen),
        compiles_new=total["new"],
        compiles_later=total["later"],
        fallbacks=dict(fallbacks),
        syncs_quiet=total["syncs quiet"],
        syncs=total["syncs"],
        downloads_quiet=total["downloads quiet"],
        downloads=total["downloads"],
        uploads=sum(uploads) / len(uploads) if uploads else 0.0,
        seconds=times[len(times) // 2] if times else 0.0,
    )
