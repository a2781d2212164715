"""From what the processes of a case reported to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.validate.budget import budget_from
from porter.validate.compare import TensorReport, compare_group, snr_db
from porter.validate.job import Told
from porter.validate.judge_varied import character_findings, variation_findings, variation_tensors
from porter.validate.outcome import GROUPS, CaseOutcome, Cost, Divergence, Fusion, Verdict
from porter.validate.sound import sounds
from porter.validate.sourcemap import Origin, SourceMap
from porter.validate.tensors import read_groups
from porter.validate.tolerances import tolerance

# How Python refuses what a case calls: a parameter that is not there, a name that a file has not.
_OTHER_ARGUMENTS = ("TypeError: ", "AttributeError: ")


def judge_tensors(name: str, reference: Told, port: Told, folder: Path, device: str, lines: SourceMap) -> CaseOutcome:
    """Compare everything that both runs saved."""
    findings = [
        *port.findings,
        *_gradient_findings(reference, port),
        *_writing_findings(reference, port),
        *_noise_findings(reference, port, lines),
        *character_findings(reference, port),
    ]
    varied = variation_findings(reference, port)
    findings += [f"{name}: {finding}" for name, found in varied.items() for finding in found]
    old, new = (
        read_groups(folder / "reference.safetensors", reference),
        read_groups(folder / "port.safetensors", port),
    )
    tensors: list[TensorReport] = []
    for group in GROUPS:
        dtypes = {k.partition("/")[2]: v for k, v in (reference.dtypes or {}).items() if k.startswith(f"{group}/")}
        tensors += compare_group(group, old.get(group, {}), new.get(group, {}), dtypes, device)
    for reports in variation_tensors(reference, port, folder, device).values():
        tensors += reports
    wrong = bool(findings) or not all(report.passed for report in tensors)
    verdict: Verdict = "mismatch" if wrong else "pass"
    return CaseOutcome(
        name,
        verdict,
        tuple(findings),
        tuple(tensors),
        draws=port.draws,
        backend=port.backend,
        ran=port.ran,
        took=port.took,
        missed=port.missed,
        fusions=tuple(Fusion(*one) for one in port.fusions),
        sounds=sounds(reference.audio, old.get("results", {}), new.get("results", {})),
        seconds=reference.seconds + port.seconds,
    )


def first_divergence(reference: Told, port: Told, folder: Path, device: str, lines: SourceMap) -> Divergence | None:
    """The first submodule, in the order in which they return, whose result is not upstream's."""
    old = read_groups(folder / "reference.safetensors", reference).get("trace", {})
    new = read_groups(folder / "port.safetensors", port).get("trace", {})
    own = {entry["name"]: entry for entry in port.trace}
    for name, value in old.items():
        other = new.get(name)
        if other is None:
            continue  # the port may reach the same result another way
        same_shape = other.shape == value.shape
        ratio = snr_db(value, other) if same_shape else -math.inf
        limit = tolerance(device, str((reference.dtypes or {}).get(f"trace/{name}", "float32"))).results
        if ratio is not None and ratio < limit:
            place = own.get(name, {})
            inside, edits = _edits(place, lines)
            return Divergence(name, str(place.get("kind", "")), ratio, inside, edits)
    return None


def judge_checkpoint(outcome: CaseOutcome, told: Told) -> CaseOutcome:
    """Add what upstream said to the checkpoint that the port wrote."""
    failure = (f"upstream failed with the port's checkpoint: {told.error}",) if told.error else ()
    findings = (*told.findings, *failure)
    verdict: Verdict = "mismatch" if findings else outcome.verdict
    seconds = outcome.seconds + told.seconds
    return replace(outcome, verdict=verdict, findings=(*outcome.findings, *findings), seconds=seconds)


def judge_budget(outcome: CaseOutcome, told: Told, lines: SourceMap) -> CaseOutcome:
    """Add the graph budget to what the comparison found."""
    outcome = replace(outcome, seconds=outcome.seconds + told.seconds)
    if told.budget is None:
        words = told.error or "no graph budget was measured"
        place = f" at {lines.locate_text(told.where)}" if told.where else ""
        verdict: Verdict = "error" if outcome.verdict == "pass" else outcome.verdict
        return replace(
            outcome,
            verdict=verdict,
            findings=(*outcome.findings, f"the port failed under the graph budget: {words}{place}"),
        )
    budget = budget_from(told.budget)
    overruns = budget.overruns()
    over = {overrun.figure for overrun in overruns}
    costs = tuple(
        Cost(event.figure, event.operator, event.count, event.backward, lines.locate_text(event.where))
        for event in budget.events
        if event.figure in over
    )
    drift = None
    if budget.drift is not None and any(o.figure == "compiles" and o.step > 0 for o in overruns):
        drift = lines.locate_text(budget.drift.where)
    verdict = "over budget" if overruns and outcome.verdict == "pass" else outcome.verdict
    return replace(outcome, verdict=verdict, budget=budget, overruns=tuple(overruns), costs=costs, drift=drift)


def is_misfit(told: Told) -> bool:
    """Whether upstream's side failed at the case's own call, before a line of upstream ran: it takes something else."""
    return not told.where and told.error.startswith(_OTHER_ARGUMENTS)


def judge_failure(name: str, side: str, told: Told, lines: SourceMap | None) -> CaseOutcome:
    """A case that one side could not run."""
    if told.unavailable:
        return CaseOutcome(name, "not in this upstream", (told.unavailable,), seconds=told.seconds)
    where = ""
    if told.where:
        where = f" at {lines.locate_text(told.where) if lines else told.where}"
    return CaseOutcome(name, "error", (f"{side} failed: {told.error}{where}",), seconds=told.seconds)


def judge_timeout(name: str, side: str, seconds: float) -> CaseOutcome:
    """A case that one side did not finish."""
    return CaseOutcome(name, "timeout", (f"{side} was not done after {seconds:.0f} s (--timeout)",), seconds=seconds)


def _gradient_findings(reference: Told, port: Told) -> list[str]:
    """Gradients that one side has and the other has not."""
    old, new = set(reference.without_gradient), set(port.without_gradient)
    findings = [f"{name} gets no gradient in the port, and gets one upstream" for name in sorted(new - old)]
    return findings + [f"{name} gets a gradient in the port, and none upstream" for name in sorted(old - new)]


def _writing_findings(reference: Told, port: Told) -> list[str]:
    """Inputs that only one side writes to."""
    old, new = set(reference.written), set(port.written)
    findings = [f"the port writes to its input {name}, and upstream does not" for name in sorted(new - old)]
    return findings + [f"upstream writes to its input {name}, and the port does not" for name in sorted(old - new)]


def _noise_findings(reference: Told, port: Told, lines: SourceMap) -> list[str]:
    findings = []
    for entry in (*reference.noise, *port.noise):
        times = f", {entry['count']} times" if entry["count"] > 1 else ""
        what, where = f"{entry['family']} draw of shape {entry['shape']}", entry["where"]
        if entry["problem"] == "port only":
            text = f"the port makes a {what} that upstream does not, at {lines.locate_text(where)}"
        elif entry["problem"] == "upstream only":
            text = f"upstream makes a {what} that the port does not, at {where}"
        else:
            text = f"{entry['family']} draws noise that cannot be shared, at {where}"
        findings.append(text + times)
    return findings


def _edits(place: Mapping[str, Any], lines: SourceMap) -> tuple[str, tuple[Origin, ...]]:
    """The class that a place in a trace tells of, and what the rules changed in it."""
    if not place.get("lines"):
        return "", ()
    file, first, last = place["lines"]
    edits = lines.within(str(file), int(first), int(last))
    inside = f"{place['around']} ({file}:{first}-{last})"
    return inside, tuple(lines.locate(edit.target, edit.target_line) for edit in edits)
