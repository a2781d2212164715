"""What the compiler said, as data; the command prints it, writes it as JSON or as a page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from porter.estimate.chips import CHIPS, Chip
from porter.estimate.exchange import Sizes
from porter.estimate.fit import Found
from porter.estimate.pair import described
from porter.estimate.roofline import Roofline, roofline
from porter.validate.outcome import Fusion

Verdict = Literal["compiles", "too large", "error", "timeout"]
_MOMENTS = 2  # tensors that AdamW keeps for each parameter


@dataclass(frozen=True)
class Compiled:
    """The figures of a graph that compiles. Sizes are bytes of HBM."""

    flops: float
    accessed: float  # bytes read and written, those in the chip's memory too
    temporary: int
    arguments: int
    outputs: int
    aliased: int  # of the outputs, in the place of arguments
    code: int
    seconds: float  # that compiling took
    moved: int  # bytes between HBM and the chip
    repeated: int  # of these in loops; one whose number of turns the compiler does not tell counts once

    @property
    def held(self) -> int:
        """Bytes of HBM while the graph runs."""
        return self.temporary + self.arguments + self.outputs - self.aliased + self.code


@dataclass(frozen=True)
class Said:
    """What the compiler says of one graph for one chip."""

    verdict: Verdict
    compiled: Compiled | None = None
    needs: int = 0  # bytes of HBM, 0 where nobody knows
    error: str = ""  # one sentence
    cached: bool = False  # said in an earlier run

    @property
    def lasting(self) -> bool:
        """Whether compiling again would say the same."""
        return self.verdict in ("compiles", "too large")

    def placed(self, chip: Chip, moments: int) -> Said:
        """The same with what stays in HBM between steps: does it still fit?"""
        if self.compiled is None:
            return replace(self, needs=self.needs + moments if self.needs else 0)
        needs = self.compiled.held + moments
        if needs <= chip.usable.value:
            return replace(self, needs=needs)
        error = f"it needs {needs / 1e9:.2f} GB of HBM, where {chip.usable.value / 1e9:.2f} GB can be used"
        return replace(self, verdict="too large", needs=needs, error=error)


@dataclass(frozen=True)
class GraphOutcome:
    """One graph, and what the compiler says of it for each chip."""

    name: str
    size: int = 0  # bytes of StableHLO bytecode
    trained: int = 0  # bytes of the parameters that have a gradient
    said: tuple[tuple[str, Said], ...] = ()  # chip → verdict
    unavailable: str = ""  # why this upstream has no such case
    problem: str = ""  # why there is no graph
    notes: tuple[tuple[str, str], ...] = ()  # chip → a kernel that it has to do without, and why
    fusions: tuple[tuple[str, tuple[Fusion, ...]], ...] = ()  # chip → modules that a kernel may stand for

    @property
    def moments(self) -> int:
        """Bytes that AdamW keeps for the parameters of this graph."""
        return self.trained * _MOMENTS

    @property
    def passed(self) -> bool:
        """Whether it compiles and fits, for all chips."""
        return bool(self.unavailable) or (not self.problem and all(s.verdict == "compiles" for _, s in self.said))

    def roof(self, chip: str) -> Roofline | None:
        """Its roofline on a chip; None where it has no figures."""
        said = dict(self.said).get(chip)
        if said is None or said.compiled is None:
            return None
        return roofline(said.compiled.flops, said.compiled.accessed, CHIPS[chip])


@dataclass(frozen=True)
class Fit:
    """The largest batch, or the longest bucket, of one graph on one chip."""

    graph: str
    chip: str
    what: Literal["batch", "frames"]
    at: Sizes  # where the search began; the other sizes are kept, phonemes in proportion to frames
    found: Found


@dataclass(frozen=True)
class EstimateOutcome:
    """What a whole run found."""

    upstream: str
    revision: str
    port: str
    preset: str
    sizes: Sizes
    bf16: bool
    timeout: float
    chips: tuple[str, ...]
    versions: dict[str, str]
    graphs: tuple[GraphOutcome, ...]
    fits: tuple[Fit, ...] = ()
    named: dict[str, str] = field(default_factory=dict)  # versions that torch_xla names for a TPU machine

    @property
    def compiler(self) -> str:
        """The packages that hold the compiler, in words."""
        return described(self.versions)

    @property
    def usual(self) -> bool | None:
        """Whether they are those that torch_xla names for a TPU machine; None where it names none."""
        return all(self.versions.get(name) == version for name, version in self.named.items()) if self.named else None

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Which kernels the graphs have to do without, by chip, each once."""
        return tuple(dict.fromkeys(note for graph in self.graphs for note in graph.notes))

    @property
    def passed(self) -> bool:
        """Whether every graph compiles and fits, and every search came to an end."""
        return all(graph.passed for graph in self.graphs) and not any(fit.found.problem for fit in self.fits)
