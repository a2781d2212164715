"""What a child process is told, and the files through which the processes of one case talk.

A case runs in up to three processes, one after the other: the reference (upstream, eager, on the CPU), the
port, and the port again for the graph budget. They share a folder:

    arguments.json       constructor arguments                  reference → port, budget
    standins.json        packages that are stood in for         reference → port, budget
    weights.safetensors  state_dict before the step             reference → port, budget
    signatures.json      parameters of functions and methods    reference → port
    scales.json          mean square of each result             reference → port, budget
    batches.safetensors  one batch a step, `STEP/NAME`          reference → port, budget
    noise.safetensors    base values of the draws               reference → port
    kinks.safetensors    side of each rectifier's kink          reference → port
    noise.json           family and line of each draw           reference → port
    ROLE.safetensors     `GROUP/NAME` tensors after the step    reference, port → parent
    ROLE.json            everything else that the role found    all → parent
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

HOST = "CPU, eager"  # the backend of what runs without XLA
Role = Literal["reference", "port", "budget"]


@dataclass(frozen=True)
class Job:
    """One child process of one case."""

    role: Role
    case: str
    device: str  # "cpu" or "xla"
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
    without_gradient: tuple[str, ...] = ()
    dtypes: dict[str, str] | None = None
    trace: tuple[dict[str, Any], ...] = ()
    budget: dict[str, Any] | None = None
    seconds: float = 0.0
    backend: str = ""

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Told:
        """Read what `save` wrote."""
        told = json.loads(path.read_text(encoding="utf-8"))
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return Told(**arguments)
