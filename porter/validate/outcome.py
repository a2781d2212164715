"""What validation found, as data; the command prints it or writes it as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from porter.validate.budget import Budget, Overrun
from porter.validate.compare import TensorReport
from porter.validate.sound import Sound
from porter.validate.sourcemap import Origin

Verdict = Literal["pass", "mismatch", "over budget", "error", "timeout", "not in this upstream"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GROUPS = ("results", "gradients", "buffers")


@dataclass(frozen=True)
class Divergence:
    """The first tensor, in the order of execution, that is not upstream's."""

    name: str  # of the submodule, or of the result
    kind: str  # the submodule's class
    snr_db: float | None
    inside: str  # the class of the package whose code leads there, and its place
    edits: tuple[Origin, ...]  # what the rules changed in that class


@dataclass(frozen=True)
class Cost:
    """A cost above the budget and the line it comes from."""

    figure: str
    operator: str
    count: int
    backward: bool
    origin: Origin


@dataclass(frozen=True)
class Culprit:
    """An edit that is to blame for a failed case."""

    rule: str  # code, "" for lines edited by hand
    upstream: str  # file:line, "" for lines edited by hand
    target: str  # file:line, relative to module/tpu
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.target} ({self.rule} of {self.upstream}: {self.reason})"
            if self.rule
            else (f"{self.target} ({self.reason})")
        )


@dataclass(frozen=True)
class Fusion:
    """A module that a kernel may stand for: the one that did, or why none."""

    path: str  # in the case's networks
    kernel: str  # "" for none
    reason: str


@dataclass(frozen=True)
class CaseOutcome:
    """What one case found."""

    name: str
    verdict: Verdict
    findings: tuple[str, ...] = ()  # sentences, the most telling first
    tensors: tuple[TensorReport, ...] = ()
    divergence: Divergence | None = None
    budget: Budget | None = None
    overruns: tuple[Overrun, ...] = ()
    costs: tuple[Cost, ...] = ()
    drift: Origin | None = None  # the line that makes steps differ
    draws: int = 0
    backend: str = ""
    ran: tuple[str, ...] = ()  # FILE:NAME of each function of the port that ran
    took: tuple[str, ...] = ()  # FILE:NAME of those that asked for a TPU's form, and had it
    missed: tuple[str, ...] = ()  # and of those that never had it
    fusions: tuple[Fusion, ...] = ()
    sounds: tuple[Sound, ...] = ()  # for the page; JSON leaves them out
    seconds: float = 0.0
    fitted: int = 0  # tensors of the weights that came from --checkpoint
    culprits: tuple[Culprit, ...] = ()  # the fewest edits without which the case does not fail so
    bisected: str = ""  # what looking for them gave, in a sentence; "" where nobody looked

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the port."""
        return self.verdict in ("pass", "not in this upstream")

    def group(self, name: str) -> list[TensorReport]:
        """Reports of one group of tensors."""
        return [report for report in self.tensors if report.group == name]

    def excused(self) -> list[TensorReport]:
        """Tensors that pass because rounding is all that is between them and upstream's."""
        told = (report for report in self.tensors if report.own_db is not None or report.exact_db is not None)
        return [report for report in told if report.passed]

    def worst(self, count: int = 5) -> list[TensorReport]:
        """Failed tensors, the furthest off first."""
        failed = [report for report in self.tensors if not report.passed]
        return sorted(failed, key=lambda r: -math.inf if r.snr_db is None else r.snr_db - (r.limit_db or 0))[:count]


@dataclass(frozen=True)
class Outcome:
    """What a whole run found."""

    upstream: str
    revision: str
    port: str
    device: str
    forms: str
    preset: str
    seed: int
    versions: dict[str, str]
    cases: tuple[CaseOutcome, ...]
    validated: int = 0  # classes and functions of upstream that a passed case ran; 0 where not all cases were asked for
    not_validated: tuple[str, ...] = ()  # FILE:NAME of those that none ran
    unfit: Mapping[str, str] = field(default_factory=dict)  # why inspection made no case of some of these
    host_only: tuple[tuple[str, str], ...] = ()  # those that never see a tensor of the device, and why
    reference: str = ""  # where upstream's side was recorded, "" where it ran beside the port
    not_judged: tuple[str, ...] = ()  # what this run did not look at, in sentences
    by_hand: tuple[str, ...] = ()  # files of the package that were changed since they were generated
    untaken: tuple[str, ...] = ()  # FILE:NAME of those that asked for a TPU's form, and had it in no case
    stopped: str = ""  # what ended the run before its end: "Ctrl-C" or "SIGTERM"

    @property
    def judged(self) -> list[CaseOutcome]:
        """The cases that this upstream has."""
        return [case for case in self.cases if case.verdict != "not in this upstream"]

    @property
    def fused(self) -> int:
        """Modules of all cases that a kernel stood for."""
        return sum(bool(one.kernel) for case in self.cases for one in case.fusions)

    @property
    def passed(self) -> bool:
        """Whether every case did, and took the forms that were asked for."""
        return not self.stopped and not self.untaken and all(case.passed for case in self.cases)
