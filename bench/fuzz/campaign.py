"""Many programs, one batch after the other: differences, and how many programs each rule touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch

from porter.codemod import rulebook
from porter.rule import Rule

from .judging import Verdict, blamed, compare, judge
from .minimising import minimise
from .porting import Workplace
from .programs import Program, program

BATCH = 100


@dataclass
class Campaign:
    """What was seen so far."""

    programs: int = 0
    raised: int = 0  # programs that raise upstream, in one of their calls
    touched: Counter[str] = field(default_factory=Counter)  # programs by rule
    failures: list[Verdict] = field(default_factory=list)


def run(
    place: Workplace,
    seed: int,
    numbers: Iterable[int],
    step: Callable[[int, int], None],
    device: torch.device | None = None,
) -> Campaign:
    """Judge the programs of these numbers; `step` hears of each: how many are done, how many differ."""
    seen = Campaign()
    batch: list[Program] = []

    def flush() -> None:
        for verdict in judge(place, batch, device):
            seen.programs += 1
            seen.raised += verdict.raised
            seen.touched.update(verdict.ported.rules.keys())
            if verdict.differences:
                seen.failures.append(verdict)
            step(seen.programs, len(seen.failures))
        batch.clear()

    for number in numbers:
        batch.append(program(seed, number))
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return seen


def by_blame(place: Workplace, failures: Iterable[Verdict]) -> dict[tuple[str, ...], list[Verdict]]:
    """Failures by the rules that are to blame."""
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in failures:
        found.setdefault(blamed(place, verdict), []).append(verdict)
    return dict(sorted(found.items()))


def smallest(place: Workplace, verdict: Verdict, limit: int = 600) -> Verdict:
    """The failing program made small."""
    wanted = verdict.differences[0].part
    best = verdict

    def attempt(candidate: Program) -> bool:
        nonlocal best
        try:
            (ported,) = place.port([candidate])
            if not hasattr(ported.upstream, candidate.entry):
                return False
            found = compare(ported)
        except Exception:  # no program any more, or a module without its constructor
            return False
        if not found.differences or found.differences[0].part != wanted or _broken(found):
            return False
        if found.raised != verdict.raised:
            return False  # another fault
        best = found
        return True

    minimise(verdict.program.source, lambda text: attempt(replace(verdict.program, source=text)), limit)
    return best


def _broken(verdict: Verdict) -> bool:
    """Whether a program has lost what it needs: a name, or an end."""
    errors = [d.upstream for d in verdict.differences if d.part == "error"]
    return any(name in error for error in errors for name in ("NameError", "Endless", "UnboundLocal"))


def applicable() -> list[type[Rule]]:
    """The rules that can be at work in the files of networks: those with an example there, but for reading files."""
    return [rule for rule in rulebook.load().rules if not rule.code.startswith("RUN") and _in_module(rule)]


def _in_module(rule: type[Rule]) -> bool:
    return any(example.path.startswith("module/") for example in rule.examples)
