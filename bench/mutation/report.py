"""The tables of a campaign, and its figures as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.mutation.campaign import Found, Trial
from porter.views.console import plain_table

_STATES = ("killed", "timeout", "survived", "not reached")


def show(found: Found, console: Console) -> None:
    """Print what survived, and the counts."""
    left = [trial for trial in found.trials if not trial.fate.seen]
    if left:
        console.print(_survivors(left))
    for title, key in (("file", _file), ("operator", _operator)):
        console.print(_counts(title, group_by(found.trials, key)))
    for alarm in found.alarms:
        console.print(f"took no part, since it speaks against the unbroken package: {alarm}", markup=False)
    for run in found.unrecorded:
        console.print(f"nothing is recorded of {run}: what it alone reaches counts as not reached", markup=False)
    console.print(summary(found), markup=False, highlight=False)


def summary(found: Found) -> str:
    """The figure, in a sentence."""
    counts = count(found.trials)
    total = len(found.trials)
    told = ", ".join(f"{counts[state]} {state}" for state in _STATES)
    reached = total - counts["not reached"]
    beside = sum(bool(trial.run) for trial in found.trials)
    told += f", {beside} of them by another run of validate" if beside else ""
    return (
        f"{found.seen} of {total} mutants seen, {_share(found.seen, total)}: {told}; "
        f"of the {reached} that a case reaches, {_share(found.seen, reached)}; "
        f"not counted: {found.equal} that change nothing, {found.elsewhere} that belong to another device, "
        f"{found.unreached} in code that no case reaches and validate names as not judged, or as the host's"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def to_json(found: Found) -> dict[str, Any]:
    """One object for machines."""
    return {
        "seen": found.seen,
        "count": len(found.trials),
        "equal": found.equal,
        "elsewhere": found.elsewhere,
        "unreached": found.unreached,
        "alarms": list(found.alarms),
        "unrecorded": list(found.unrecorded),
        "states": count(found.trials),
        "files": {name: count(trials) for name, trials in group_by(found.trials, _file).items()},
        "operators": {name: count(trials) for name, trials in group_by(found.trials, _operator).items()},
        "mutants": [
            {
                "file": trial.mutant.file,
                "line": trial.mutant.line,
                "inside": trial.mutant.inside,
                "operator": trial.mutant.operator,
                "old": trial.mutant.old,
                "new": trial.mutant.new,
                "state": trial.fate.state,
                "case": trial.fate.case,
                "run": trial.run,
                "figure": trial.fate.figure,
                "tried": trial.fate.tried,
                "seconds": trial.fate.seconds,
            }
            for trial in found.trials
        ],
    }


def count(trials: Sequence[Trial]) -> dict[str, int]:
    """How many ended in each state."""
    return {state: sum(trial.fate.state == state for trial in trials) for state in _STATES}


def group_by(trials: Sequence[Trial], key: Callable[[Trial], str]) -> Mapping[str, list[Trial]]:
    """Trials with the same key together, by key."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        found[key(trial)].append(trial)
    return dict(sorted(found.items()))


def _file(trial: Trial) -> str:
    return trial.mutant.file


def _operator(trial: Trial) -> str:
    return trial.mutant.operator


def _survivors(trials: Sequence[Trial]) -> Table:
    table = plain_table("place", "inside", "operator", "change", "state")
    for trial in sorted(trials, key=lambda t: (t.mutant.file, t.mutant.line)):
        mutant, state = trial.mutant, trial.fate.state
        tried = f", {trial.fate.tried} cases" if trial.fate.tried else ""
        place = f"{mutant.file}:{mutant.line}"
        table.add_row(place, mutant.inside, mutant.operator, mutant.change, f"{state}{tried}")
    return table


def _counts(title: str, groups: Mapping[str, list[Trial]]) -> Table:
    table = plain_table(title, *_STATES)
    for name, trials in groups.items():
        table.add_row(name, *(str(number or "–") for number in count(trials).values()))
    return table
