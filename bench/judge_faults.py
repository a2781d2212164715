"""The judge is judged: faults are planted in a generated package, one at a time, and validation has to see each.

    python bench/judge_faults.py UPSTREAM [--device cpu|xla|both] [--only N] [--fault TEXT] [--case NAME]
                                 [--seeds N] [--json FILE]

Faults that change values run eagerly on the CPU, those that only XLA shows (its own forms of operations, and costs)
on XLA: `--device` picks one kind. A fault is tried on the cases whose functions ran in the place where it is, quickest
first, until one sees it. Then the unbroken package is judged under N seeds: nothing may be found. Exit status 1 for a
miss or a false alarm.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.faults.book import FAULTS
from bench.faults.record import Fault
from bench.faults.trial import Alarm, Bench, Trial, copy_package, false_alarms, try_fault
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import Snapshot, open_upstream
from porter.package.store import Place
from porter.validate.request import Request

_STYLES = {"caught": "green", "MISSED": "bold red", "not in this upstream": "dim"}


def judge_faults(
    snapshot: Snapshot, package: Path, faults: Sequence[Fault], request: Request
) -> tuple[list[Trial], list[Alarm]]:
    """Try each fault on its device; also what the unbroken package failed. PortError for unusable input."""
    trials = []
    with tempfile.TemporaryDirectory(prefix="sovits-faults-") as temporary, ExitStack() as stack:
        bench = Bench(snapshot, package, request, stack, _say)
        root = copy_package(package, Path(temporary).resolve() / "broken")
        for fault in faults:
            trials.append(try_fault(bench, fault, fault.device, root))
            _say(f"{fault.name}: {trials[-1].state}")
        return trials, list(bench.alarms())


def select(device: str, only: int, texts: Sequence[str]) -> list[Fault]:
    """Faults of a device whose name, file or kind holds one of `texts`; `only` of them, evenly spread, 0 for all."""
    wanted = [fault for fault in FAULTS if device in ("both", fault.device)]
    if texts:
        wanted = [f for f in wanted if any(text in part for text in texts for part in (f.name, f.file, f.kind))]
    if not 0 < only < len(wanted):
        return wanted
    return [wanted[index * len(wanted) // only] for index in range(only)]


def show(trials: Sequence[Trial], alarms: Sequence[Alarm], seeds: int, console: Console) -> None:
    """Print the tables and the counts."""
    table = Table(title="Seeded faults", title_justify="left")
    for name in ("fault", "kind", "place", "seen by", "figure"):
        table.add_column(name, overflow="fold")
    for trial in trials:
        fault, state = trial.fault, trial.state
        place = f"{fault.file}:{trial.line}" if trial.line else fault.file
        seen = f"{trial.case}: {trial.verdict}" if trial.case else f"[{_STYLES[state]}]{state}[/]"
        table.add_row(fault.name, fault.kind, place, seen, trial.figure)
    console.print(table)
    planted = [trial for trial in trials if trial.line]
    caught = sum(trial.state == "caught" for trial in planted)
    console.print(f"caught {caught} of {len(planted)}; {len(trials) - len(planted)} have no place in this upstream")
    for alarm in alarms:
        where = f"seed {alarm.seed} on {alarm.device}"
        console.print(f"false alarm, {where}: {alarm.case}: {alarm.verdict}: {alarm.figure}", markup=False)
    console.print(f"false alarms: {len(alarms)} in {seeds} runs of the unbroken package")


def main() -> int:
    """Judge and print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream")
    parser.add_argument("--device", choices=("cpu", "xla", "both"), default="both")
    parser.add_argument("--only", type=int, default=0, metavar="N", help="this many faults, evenly spread")
    parser.add_argument("--fault", action="append", default=[], metavar="TEXT", help="of a name, a file or a kind")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="as of validate")
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    told = parser.parse_args()
    started = time.perf_counter()
    request = Request("cpu" if told.device == "both" else told.device, "tiny", tuple(told.case), 0, 2, 900.0)
    try:
        snapshot = open_upstream(told.upstream)
        with tempfile.TemporaryDirectory(prefix="sovits-unbroken-") as temporary:
            package = Path(temporary).resolve()
            generate(snapshot, Place(package), Settings())
            trials, alarms = judge_faults(snapshot, package, select(told.device, told.only, told.fault), request)
            alarms += [a for a in false_alarms(snapshot, package, request, range(told.seeds), _say) if a not in alarms]
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(trials, alarms, told.seeds, Console())
    print(f"{time.perf_counter() - started:.0f} s")
    if told.json:
        told.json.write_text(json.dumps({"trials": [asdict(t) for t in trials], "alarms": [asdict(a) for a in alarms]}))
    return int(bool(alarms) or any(trial.state == "MISSED" for trial in trials))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
