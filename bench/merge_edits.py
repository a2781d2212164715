"""Whether `generate` ever loses an edit that was made by hand: random edits times random changes upstream.

    python bench/merge_edits.py [--cases 1000] [--packages 50] [--seed 0]

A case is a made-up file that a person and upstream edit at random, each without the other: lines put in, taken out,
changed and moved, line ends and a byte order mark too. Cases called packages go through `generate`, with rules on
and off, files added and deleted, edits in headers and in the runtime. An edit is lost unless it is in the result or
in a conflict that is marked there; what judges that is bench/hand_edits/judge.py, which does not know how the merge
works. Each case has a seed of its own, which is printed where anything was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    """Run all cases; status 1 where an edit was lost."""
    from bench.hand_edits.packages import judge_package
    from bench.hand_edits.texts import judge_texts
    from porter.cli.progress import Progress

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="of one text each")
    parser.add_argument("--packages", type=int, default=50, metavar="N", help="through generate")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; each further one has the next")
    arguments = parser.parse_args()
    bad = 0
    for kind, count in (("texts", arguments.cases), ("packages", arguments.packages)):
        start, lost, disputed = time.perf_counter(), 0, 0
        with Progress() as progress:
            for seed in range(arguments.seed, arguments.seed + count):
                progress.step(f"{kind}, seed {seed}")
                with tempfile.TemporaryDirectory() as folder:
                    chance = Random(seed)
                    found, conflicts = judge_texts(chance) if kind == "texts" else judge_package(chance, Path(folder))
                lost += bool(found)
                disputed += bool(conflicts)
                for told in found:
                    print(f"{kind}, seed {seed}: {told}")
        seconds = time.perf_counter() - start
        print(f"{kind:9}{count:7} cases, {disputed:5} with conflicts, {lost:3} with a lost edit   {seconds:6.1f} s")
        bad += lost
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
