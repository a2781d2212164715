"""Trying one mutant: the cases that reach it, the cheapest first, until one sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.faults.trial import figure
from bench.mutation.change import Mutant
from bench.mutation.judging import Bencher, failed
from bench.mutation.ledger import Fate
from bench.mutation.reach import Reach

_LEAST, _FACTOR = 60.0, 10.0  # a case may take so many seconds, and so many times as long as on the unbroken package


def attempt(bencher: Bencher, mutant: Mutant, names: Sequence[str], reach: Reach, judge: str) -> Fate:
    """Put the mutant into the worker's package, run `names` until one fails, and take it out again."""
    if not names:
        return Fate(mutant.key, "not reached", judge)
    started = time.perf_counter()
    text = (bencher.package / mutant.file).read_text(encoding="utf-8")
    tried = 0
    try:
        bencher.put(mutant.file, mutant.applied(text))
        for name in names:
            tried += 1
            outcome = bencher.run(name, _LEAST + _FACTOR * reach.cases[name].seconds)
            if outcome is not None and failed(outcome):
                late = outcome.verdict == "timeout"
                told = f"{outcome.verdict}: {figure(outcome)}"
                spent = time.perf_counter() - started
                return Fate(mutant.key, "timeout" if late else "killed", judge, name, told, tried, round(spent, 2))
    finally:
        bencher.put_back(mutant.file, text)
    return Fate(mutant.key, "survived", judge, tried=tried, seconds=round(time.perf_counter() - started, 2))
