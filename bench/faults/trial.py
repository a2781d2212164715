"""Judging one package with one fault after the other, and the unbroken one under several seeds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.faults.record import Device, Fault, NoPlace, plant
from porter.inputs.upstream import Snapshot
from porter.validate.job import Told
from porter.validate.judge import Judge, open_judge
from porter.validate.outcome import CaseOutcome
from porter.validate.request import Request
from porter.validate.runner import validate

Say = Callable[[str], None]
_ABSENT = "not in this upstream"


@dataclass(frozen=True)
class Trial:
    """What became of one fault."""

    fault: Fault
    state: str  # "caught", "MISSED" or "not in this upstream"
    line: int = 0  # of the file, from 1
    case: str = ""  # the first that saw it
    verdict: str = ""
    figure: str = ""  # what it saw, or why there was nothing to see
    tried: int = 0  # cases run


@dataclass(frozen=True)
class Alarm:
    """A case that speaks against the unbroken package."""

    seed: int
    device: str
    case: str
    verdict: str
    figure: str


@dataclass(frozen=True)
class _Run:
    """A case of the unbroken package, with upstream's side kept for the broken ones."""

    place: Path
    reference: Told
    outcome: CaseOutcome


class Bench:
    """Judges for the devices, opened when first asked for, and what the unbroken package gave them."""

    def __init__(self, snapshot: Snapshot, package: Path, request: Request, stack: ExitStack, say: Say) -> None:
        """`package` is what generate wrote; `stack` closes the judges."""
        self._snapshot, self._package, self._request = snapshot, package, request
        self._stack, self._say = stack, say
        self._judges: dict[Device, Judge] = {}
        self._runs: dict[tuple[Device, str], _Run | None] = {}
        self.names = request.names()

    def judge(self, device: Device) -> Judge:
        """The judge that runs the port on `device`."""
        if device not in self._judges:
            request = replace(self._request, device=device)
            self._judges[device] = self._stack.enter_context(open_judge(self._snapshot, self._package, request))
        return self._judges[device]

    def unbroken(self, device: Device, name: str) -> _Run | None:
        """The unbroken package's run of a case; None where this upstream has none."""
        if (device, name) not in self._runs:
            self._say(f"unbroken: {name} on {device}")
            judge = self.judge(device)
            place = judge.place(name)
            reference = judge.run_upstream(name, place)
            found = None
            if isinstance(reference, Told):
                found = _Run(place, reference, judge.run_port(name, place, reference, _quiet))
            elif reference.verdict != _ABSENT:
                found = _Run(place, Told(), reference)
            self._runs[device, name] = found
        return self._runs[device, name]

    def alarms(self) -> Iterator[Alarm]:
        """Cases that the unbroken package fails, of those that were run."""
        for (device, name), run in self._runs.items():
            if run is not None and not run.outcome.passed:
                yield Alarm(self._request.seed, device, name, run.outcome.verdict, figure(run.outcome))

    def candidates(self, file: str, function: str) -> list[str]:
        """Cases that ran a function, else those that ran its file; the quickest first."""
        runs = [run for name in self.names if (run := self.unbroken("cpu", name)) is not None]
        runs.sort(key=lambda run: run.outcome.seconds)
        exact = [run.outcome.name for run in runs if f"{file}:{function}" in run.outcome.ran]
        return exact or [r.outcome.name for r in runs if any(n.startswith(f"{file}:") for n in r.outcome.ran)]

    def run(self, fault: Fault, device: Device, root: Path, name: str) -> CaseOutcome | None:
        """One case of the broken package at `root`; None where the unbroken one fails it as well."""
        run = self.unbroken(device, name)
        if run is None or not run.outcome.passed:
            return None
        self._say(f"{fault.name}: {name} on {device}")
        return self.judge(device).other(root).run_port(name, run.place, run.reference, _quiet)


def try_fault(bench: Bench, fault: Fault, device: Device, root: Path) -> Trial:
    """Plant `fault` in the package at `root`, run the cases that could see it, and take it out again."""
    path = root / "module" / "tpu" / fault.file
    if not path.is_file():
        return Trial(fault, _ABSENT, figure=f"there is no {fault.file}")
    text = path.read_text(encoding="utf-8")
    try:
        planted = plant(text, fault)
    except NoPlace as reason:
        return Trial(fault, _ABSENT, figure=str(reason))
    if not _is_used(path, root / "module" / "tpu"):
        return Trial(fault, _ABSENT, figure=f"nothing here calls {fault.file}")
    names = bench.candidates(fault.file, planted.function)
    trial = Trial(fault, "MISSED", planted.line, figure="" if names else f"no case runs {fault.file}")
    try:
        path.write_text(planted.text, encoding="utf-8")
        for name in names:
            outcome = bench.run(fault, device, root, name)
            if outcome is not None:
                trial = replace(trial, tried=trial.tried + 1)
                if not outcome.passed:
                    seen = figure(outcome)
                    return replace(trial, state="caught", case=name, verdict=outcome.verdict, figure=seen)
    finally:
        path.write_text(text, encoding="utf-8")
    return trial


def _is_used(path: Path, package: Path) -> bool:
    """Whether a file is upstream's, or of the runtime and called: the runtime is emitted whole."""
    runtime = package / "ops"
    if path.parent != runtime:
        return True
    names = re.findall(r"^(?:def|class) ([A-Za-z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = re.compile(rf"\b({'|'.join(names)})\b")
    others = (other for other in package.rglob("*.py") if other not in (path, runtime / "__init__.py"))
    return any(wanted.search(other.read_text(encoding="utf-8")) for other in others)


def false_alarms(
    snapshot: Snapshot, package: Path, request: Request, seeds: Sequence[int], say: Say
) -> Iterator[Alarm]:
    """What the judge has against the unbroken package, seed by seed."""
    for seed in seeds:
        say(f"unbroken: seed {seed} on {request.device}")
        outcome = validate(snapshot, package, replace(request, seed=seed))
        yield from (Alarm(seed, request.device, c.name, c.verdict, figure(c)) for c in outcome.cases if not c.passed)


def figure(outcome: CaseOutcome) -> str:
    """The most telling thing that an outcome has against the port, on one line."""
    for overrun in outcome.overruns if outcome.verdict == "over budget" else ():
        return str(overrun)
    worst = outcome.worst(1)
    if worst and not worst[0].problem:
        ratio = "no likeness" if worst[0].snr_db is None else f"{worst[0].snr_db:.0f} dB"
        return f"{worst[0].group} {worst[0].name}: {ratio}"
    if worst:
        return f"{worst[0].group} {worst[0].name}: {worst[0].problem}"
    return outcome.findings[0] if outcome.findings else ""


def copy_package(package: Path, folder: Path) -> Path:
    """A copy of a generated package that may be broken."""
    return Path(shutil.copytree(package, folder, ignore=shutil.ignore_patterns("__pycache__")))


def _quiet(case: str, state: str) -> None:
    pass
