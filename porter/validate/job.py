"""What a child process is told, and the files through which the processes of one case talk.

A case runs in up to six processes: the reference (upstream, eager, on the CPU, or on CUDA for a recording), the port,
the port again for the graph budget, upstream again, which takes the port's checkpoint, and, where rounding may be all
that speaks against the port, both sides in float64. In `bench` the reference is followed by `unported` (upstream on the
device) and `ported` for each port, which only count. In `estimate` there is only `lowered`, the port traced and not
run. They share a folder:

    arguments.json       constructor arguments                  reference → port, budget
    standins.json        packages that are stood in for         reference → port, budget
    initial.safetensors  a sample of what a new model holds     reference → port
    weights.safetensors  state_dict before the step             reference → port, budget
    signatures.json      parameters of functions and methods    reference → port
    scales.json          mean square of each result             reference → port, budget
    batches.safetensors  one batch a step, `STEP/NAME`          reference → port, budget
    noise.safetensors    base values of the draws               reference → port, exact
    wide.json            operators of upstream in float64       reference → port
    kinks.safetensors    side of each rectifier's kink          reference → port, exact
    noise.json           family and line of each draw           reference → port
    rounding.json        upstream's float32 from its float64    exact → parent
    state.json           names and shapes after the step        reference → port
    checkpoint.pth       state_dict after the step              port → checkpoint
    ROLE.safetensors     `GROUP/NAME` tensors after the step    reference, exact, port, port_exact → parent
    VARIATION.*          batch, noise and kinks of a variation  reference → port, exact
    ROLE.varied.safetensors  tensors of the variations          reference, exact, port, port_exact → parent
    ROLE.json            everything else that the role found    all → parent
    steps.json           cost of each step, as it ends          unported, ported → parent
    asked.json           sizes and parts to trace               parent → lowered
    graphs.json          the graphs, as they are written        lowered → parent
    graph-N.bc           StableHLO bytecode                     lowered → parent
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

CHECKPOINT = "checkpoint.pth"
HOST = "CPU, eager"  # the backend of what runs without XLA
Role = Literal["reference", "exact", "port", "port_exact", "budget", "checkpoint", "unported", "ported", "lowered"]


@dataclass(frozen=True)
class Job:
    """One child process of one case."""

    role: Role
    case: str
    device: str  # "cpu", "xla", or "cuda" for a reference
    preset: str
    seed: int
    steps: int  # steps after the first one that the budget measures
    trace: bool  # keep a sample of every submodule's result, to find the first that differs
    cover: bool  # note which functions ran
    measure: bool  # of the port: its run is the graph budget's too, since nothing has to be replayed
    package: str
    search: tuple[str, ...]
    roots: tuple[str, ...]
    config: dict[str, Any] | None
    folder: str
    variations: str = ""  # those of which device follow the base case, "cpu" or "xla"; "" for none
    weights: str = ""  # a file of tensors that upstream's models get where they fit (--checkpoint)

    def path(self, name: str) -> Path:
        """A file of the folder that the processes share."""
        return Path(self.folder) / name

    def save(self) -> Path:
        """Write this job where its process reads it."""
        path = self.path(f"{self.role}.job.json")
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @staticmethod
    def load(path: Path) -> Job:
        """Read a job that `save` wrote."""
        told = json.loads(path.read_text(encoding="utf-8"))
        return Job(**{**told, "search": tuple(told["search"]), "roots": tuple(told["roots"])})


@dataclass(frozen=True)
class Varied:
    """What one side's run found besides tensors, of the base case (then not in full) or of a variation."""

    raised: str = ""  # the exception's class
    words: str = ""  # and what it says, on one line
    guarded: bool = False  # whether a `raise` or an `assert` of the code gave it, and no operation
    without_gradient: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[str, ...] = ()
    noise: tuple[dict[str, Any], ...] = ()
    dtypes: Mapping[str, str] = field(default_factory=dict)
    precision: str = ""  # whose tolerances count, "" for each tensor's own
    findings: tuple[str, ...] = ()  # anything else that speaks against a port

    @staticmethod
    def of(told: Mapping[str, Any]) -> Varied:
        """From what JSON gives back."""
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return Varied(**arguments)


@dataclass(frozen=True)
class Told:
    """What a child process reports besides tensors (ROLE.json)."""

    unavailable: str = ""  # why this upstream has no such case
    error: str = ""  # an exception, on one line
    where: str = ""  # its innermost line of the side that ran, file:line
    findings: tuple[str, ...] = ()  # differences that are no tensors: keys, signatures, draws
    noise: tuple[dict[str, Any], ...] = ()
    draws: int = 0
    kinks: int = 0
    ran: tuple[str, ...] = ()  # FILE:NAME of each function of the port that ran
    took: tuple[str, ...] = ()  # FILE:NAME of those that asked for a TPU's form, and had it
    missed: tuple[str, ...] = ()  # and of those that never had it
    fusions: tuple[list[str], ...] = ()  # path, kernel and reason of each module that a kernel may stand for
    without_gradient: tuple[str, ...] = ()
    written: tuple[str, ...] = ()  # members of the batch that were written in place
    dtypes: dict[str, str] | None = None
    audio: dict[str, int] = field(default_factory=dict)  # results that are sound → samples per second
    trace: tuple[dict[str, Any], ...] = ()
    budget: dict[str, Any] | None = None
    seconds: float = 0.0
    backend: str = ""
    former: tuple[str, ...] = ()  # calls that packages no longer have, which were made
    fitted: int = 0  # tensors of the weights that came from --checkpoint
    base: dict[str, Any] = field(default_factory=dict)  # a Varied of the base case
    varied: dict[str, dict[str, Any]] = field(default_factory=dict)  # a Varied by the name of its variation
    traits: dict[str, dict[str, str]] = field(default_factory=dict)  # plain attributes by submodule
    methods: dict[str, list[str]] = field(default_factory=dict)  # public methods by submodule

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(vars(self)), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Told:
        """Read what `save` wrote."""
        told = json.loads(path.read_text(encoding="utf-8"))
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return Told(**arguments)
