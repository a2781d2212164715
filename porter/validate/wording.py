"""How figures are put in words, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable

from porter.validate.budget import Budget
from porter.validate.compare import TensorReport, least_db, most_telling
from porter.validate.outcome import GROUPS, CaseOutcome, Divergence, Outcome

FIGURES = ("compiles", "fallbacks", "host syncs", "down", "up", "seconds")


def decibels(value: float | None) -> str:
    """A signal-to-noise ratio, rounded down, so that none seems to reach a limit; None is equality bit by bit."""
    if value is None:
        return "equal"
    return f"{math.floor(value)} dB" if math.isfinite(value) else "no match"


def distance(report: TensorReport) -> str:
    """What is wrong with a tensor, or how far off it is."""
    if report.problem:
        return report.problem
    against = f" against {report.scale}" if report.scale else ""
    wanted = f", at least {report.limit_db:.0f} dB wanted" if report.limit_db is not None else ""
    largest = f"; largest difference {number(report.max_abs)}" if report.max_abs is not None else ""
    own = f"; upstream itself is {report.own_db:.0f} dB from its float64" if report.own_db is not None else ""
    exact = f", and the port {report.exact_db:.0f} dB from that in float64" if report.exact_db is not None else ""
    return f"{decibels(report.snr_db)}{against}{wanted}{largest}{own}{exact}"


def difference(first: Divergence) -> str:
    """Where the port's results first differ, and how much."""
    inside = f", inside {first.inside}" if first.inside else ""
    return f"{first.name} ({first.kind}), {decibels(first.snr_db)}{inside}"


def number(value: float | None) -> str:
    """A small or large number in a few characters."""
    return "–" if value is None else f"{value:.2g}"


def costs(budget: Budget) -> tuple[str, ...]:
    """One text for each of FIGURES: the first step / the most in a later one."""
    first, later = budget.steps[0], budget.steps[1:]
    rows = [
        (first.compiles, [s.compiles for s in later]),
        (sum(first.fallbacks.values()), [sum(s.fallbacks.values()) for s in later]),
        (first.syncs, [s.syncs for s in later]),
        (first.downloads, [s.downloads for s in later]),
        (first.uploads, [s.uploads for s in later]),
    ]
    cells = [f"{now} / {max(then)}" if then else f"{now}" for now, then in rows]
    slowest = f" / {max(s.seconds for s in later):.1f}" if later else ""
    return (*cells, f"{first.seconds:.1f}{slowest}")


def row(case: CaseOutcome) -> str:
    """A case that ended, in one line: verdict, the least ratio of each group, seconds."""
    parts = [f"{case.name}: {case.verdict}"]
    parts += [f"{name} {decibels(least_db(most_telling(found)))}" for name in GROUPS if (found := case.group(name))]
    return ", ".join([*parts, f"{case.seconds:.0f} s"])


def setting(outcome: Outcome) -> str:
    """Preset, where the port ran, and seed."""
    backends = {case.backend for case in outcome.cases if case.backend}
    where = " and ".join(sorted(backends)) or outcome.device
    forms = ", a TPU's forms" if outcome.forms == "tpu" else ""
    return f"{outcome.preset}, {where}{forms}, seed {outcome.seed}"


def summary(cases: Iterable[CaseOutcome]) -> str:
    """How many cases passed, and what became of the others."""
    verdicts = [case.verdict for case in cases]
    absent = verdicts.count("not in this upstream")
    judged = len(verdicts) - absent
    others = [v for v in dict.fromkeys(verdicts) if v not in ("pass", "not in this upstream")]
    parts = [f"{verdicts.count('pass')} of {judged} cases pass"]
    parts += [f"{verdicts.count(verdict)} {verdict}" for verdict in others]
    if absent:
        parts.append(f"{absent} not in this upstream")
    return ", ".join(parts)


def next_steps(case: CaseOutcome, outcome: Outcome) -> list[str]:
    """What to do about a case that failed: files with hand edits, and how to find the edits to blame."""
    if case.passed:
        return []
    ran = {name.partition(":")[0] for name in case.ran}
    found = [f"{name} was changed by hand since it was generated" for name in outcome.by_hand if name in ran or not ran]
    if not case.bisected and case.verdict != "timeout":
        device = f" --device {outcome.device}" if outcome.device != "xla" else ""
        forms = f" --forms {outcome.forms}" if outcome.forms != "auto" else ""
        options = f"--preset {outcome.preset} --seed {outcome.seed}{device}{forms}"
        found.append(
            f"next: sovits-port validate {outcome.upstream} {outcome.port} {options} --case {case.name} --bisect"
        )
    return found
