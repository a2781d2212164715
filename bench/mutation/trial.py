"""Trying one mutant: the cases that reach it, the cheapest first, until one sees it.

Most that a case sees at all it sees without its variations, which cost several times as much: a case is run without
them first, and with them when it is the cheapest way to look once more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.faults.trial import figure
from bench.mutation.change import Mutant
from bench.mutation.digests import case_digest, cases_digest
from bench.mutation.judging import Bencher, failed
from bench.mutation.ledger import Fate, State
from bench.mutation.reach import Reach

_FEW = 8  # cases that import what they have in common
_BASE = 0.2  # of a case's seconds, without its variations
_LEAST, _FACTOR = 60.0, 10.0  # a case may take so many seconds, and so many times as long as on the unbroken package


def attempt(bencher: Bencher, mutant: Mutant, names: Sequence[str], reach: Reach) -> Fate:
    """Put the mutant into the worker's package, run `names` until one fails, and take it out again."""
    judge = cases_digest(names)
    if not names:
        return Fate(mutant.key, "not reached", judge)
    names = names[:_FEW] if mutant.once else names
    started = time.perf_counter()
    text = (bencher.package / mutant.file).read_text(encoding="utf-8")
    tried = set()
    try:
        bencher.put(mutant.file, mutant.applied(text))
        for name, varied in _runs(names, reach):
            if varied and not bencher.varies(name):
                continue
            tried.add(name)
            outcome = bencher.run(name, _LEAST + _FACTOR * reach.cases[name].seconds, varied)
            if outcome is not None and failed(outcome):
                late = outcome.verdict == "timeout"
                told = f"{outcome.verdict}: {figure(outcome)}"
                spent = time.perf_counter() - started
                state: State = "timeout" if late else "killed"
                return Fate(mutant.key, state, case_digest(name), name, told, len(tried), round(spent, 2))
    finally:
        bencher.put_back(mutant.file, text)
    return Fate(mutant.key, "survived", judge, tried=len(tried), seconds=round(time.perf_counter() - started, 2))


def _runs(names: Sequence[str], reach: Reach) -> list[tuple[str, bool]]:
    """Each case without its variations, and with them, the cheapest first."""
    runs = [(name, varied) for name in names for varied in (False, True)]
    return sorted(runs, key=lambda run: reach.cases[run[0]].seconds * (1.0 if run[1] else _BASE))
