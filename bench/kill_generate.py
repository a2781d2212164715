"""Whether a `generate` that is killed at any moment leaves a whole package, with the hand edits in it.

    python bench/kill_generate.py UPSTREAM [--times 100] [--seed 0]

Over a package that was made with other rules and edited by hand, `generate` is started as a command and killed with
SIGKILL, by turns at a random moment of the whole run, of the time in which it writes, and of the time in which it puts
new files in the place of old ones.
Then the next command's `recover` runs, and the folder has to hold the old files or the new ones, byte for byte.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_CHILD = "import sys; sys.path.insert(0, sys.argv.pop(1)); from porter.cli import main; main()"
_EDIT = b"# edited by hand\n"
_WORK = ".port-write-*"
_MOMENTS = ("*", _WORK, f"{_WORK}/journal.json")  # what is there once a stretch of the run has begun


def main() -> int:
    """Kill and look; status 1 where a package was not whole."""
    from porter.cli.progress import Progress

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("upstream")
    parser.add_argument("--times", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        seen = kill_often(arguments.upstream, Path(folder), arguments.times, Random(arguments.seed), say=progress.step)
    for name, count in sorted(seen.items()):
        print(f"{name:28}{count:5}")
    return int(seen["neither"] > 0)


def kill_often(
    upstream: str,
    folder: Path,
    times: int,
    chance: Random,
    more: Sequence[str] = (),
    *,
    off: str = "RNG",
    say: Callable[[str], None] = print,
) -> Counter[str]:
    """How often the package was old, new or neither, and where the kill found the run.

    `folder` is empty, `off` a rule or family that the old package was made without.
    """
    from porter.package.store import Place, recover

    old, new, out = folder / "old", folder / "new", folder / "out"
    generate(upstream, old, *more, "--ignore", off)
    for name in ("module/tpu/models.py", "module/__init__.py"):
        (old / name).write_bytes((old / name).read_bytes() + _EDIT)
    (old / "module/tpu/mine.py").write_bytes(_EDIT)
    shutil.copytree(old, new)
    lengths = rehearse(command(upstream, new, *more), new)
    before, after = contents(old), contents(new)
    if before == after or not all(_EDIT in files["module/tpu/models.py"] for files in (before, after)):
        raise SystemExit("the old package and the new one must differ, and both hold the edit")
    seen = Counter({"neither": 0})
    for number in range(times):
        say(f"kill {number + 1} of {times}")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(old, out)
        stretch = number % len(_MOMENTS)
        with subprocess.Popen(command(upstream, out, *more), stdout=subprocess.DEVNULL) as child:
            await_moment(child, out, _MOMENTS[stretch])
            time.sleep(chance.uniform(0, lengths[stretch]))
            child.kill()
        seen["killed while it swapped"] += any(out.glob(_MOMENTS[2]))
        seen["killed while it wrote"] += any(out.glob(_WORK))
        seen["killed after it had ended"] += child.returncode == 0
        recover(Place(out))
        found = contents(out)
        seen["old" if found == before else "new" if found == after else "neither"] += 1
    return seen


def rehearse(arguments: list[str], out: Path) -> list[float]:
    """Run a command to its end; the seconds that follow each of the moments, up to the end or to the last write."""
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as child:
        begun = []
        for moment in _MOMENTS:
            await_moment(child, out, moment)
            begun.append(time.monotonic())
        while any(out.glob(_WORK)):
            time.sleep(0.0002)
        written = time.monotonic()
        if child.wait() != 0:
            raise SystemExit(f"generate ended with status {child.returncode}")
    return [time.monotonic() - begun[0], *(written - start for start in begun[1:])]


def await_moment(child: subprocess.Popen[bytes], out: Path, moment: str) -> None:
    """Wait until a run has come so far, or ended."""
    while child.poll() is None and not any(out.glob(moment)):
        time.sleep(0.0002)


def generate(upstream: str, out: Path, *more: str) -> None:
    """Run the command to its end."""
    subprocess.run(command(upstream, out, *more), check=True, stdout=subprocess.DEVNULL)


def command(upstream: str, out: Path, *more: str) -> list[str]:
    """The command line of a generate."""
    return [sys.executable, "-c", _CHILD, str(ROOT), "generate", upstream, "--out", str(out), *more]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())
