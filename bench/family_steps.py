"""Takes training steps with ports of the VITS family beside their originals, and says of each what they cost on XLA.

    python bench/family_steps.py UPSTREAM... [--case NAME] [--device cpu|xla] [--steps N] [--timeout SECONDS]

UPSTREAM is what `sovits-port generate` takes; a checkout whose search for alignments is Cython's has to be built as its
README says. Each is ported into a temporary folder, and `validate` runs the cases, in small sizes: without --case the
first synthesizer of VITS's relatives, and SynthesizerTrn of GPT-SoVITS's v2, whichever there is. Columns: the least
ratio of results and of gradients to the original's eager ones; what the first step costs on XLA, and the most of a
later one. Exit status 1 where a case is wrong or none was run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.spec import base_name, is_path
from porter.package.store import Place
from porter.validate.compare import least_db, most_telling
from porter.validate.outcome import CaseOutcome
from porter.validate.request import Request
from porter.validate.runner import validate
from porter.validate.wording import FIGURES, costs, decibels

_CASES = ("vits.first", "synthesizer.v2.forward")
_NAMES = {"down": "device-to-host transfers", "up": "host-to-device transfers"}


def main() -> int:
    """Print the table, and below each row what is wrong with it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("upstreams", nargs="+", metavar="UPSTREAM")
    parser.add_argument("--case", action="append", metavar="NAME", help="instead of the two; may be repeated")
    parser.add_argument("--device", choices=("cpu", "xla"), default="xla")
    parser.add_argument("--steps", type=int, default=2, help="after the first")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for each process")
    given = parser.parse_args()
    request = Request(given.device, "tiny", tuple(given.case or _CASES), 0, given.steps, given.timeout)
    heads = ("upstream", "case", "verdict", "results", "gradients", *(_NAMES.get(name, name) for name in FIGURES))
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads), flush=True)
    good = [_try(upstream, request) for upstream in given.upstreams]
    return int(not all(good))


def _try(upstream: str, request: Request) -> bool:
    """Port one upstream, run its cases and print a row for each; whether all is well."""
    shown = base_name(Path(upstream)) if is_path(upstream) and Path(upstream).is_dir() else upstream
    with tempfile.TemporaryDirectory() as folder:
        try:
            snapshot, place = open_upstream(upstream), Path(folder, "port")
            generate(snapshot, Place(place), Settings())
            outcome = validate(snapshot, place, request)
        except PortError as error:
            print(f"| {shown} | – | refused: {error} |", flush=True)
            return False
    there = [case for case in outcome.cases if case.verdict != "not in this upstream"]
    for case in there:
        print(f"| {shown} | {case.name} | {case.verdict} | {' | '.join(_cells(case))} |", flush=True)
        for line in (*case.findings, *map(str, case.overruns)):
            print(f"  {line}", file=sys.stderr)
    if not there:
        print(f"| {shown} | – | {'; '.join(case.findings[0] for case in outcome.cases)} |", flush=True)
    return bool(there) and all(case.passed for case in there)


def _cells(case: CaseOutcome) -> list[str]:
    ratios = [
        decibels(least_db(most_telling(case.group(name)))) if case.group(name) else "–"
        for name in ("results", "gradients")
    ]
    return [*ratios, *(costs(case.budget) if case.budget is not None else ["–"] * len(FIGURES))]


if __name__ == "__main__":
    sys.exit(main())
