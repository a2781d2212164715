"""Where a process was when it crashed or hung."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from porter.inputs.upstream import open_upstream
from porter.validate.children import Server, Timeout
from porter.validate.job import Job
from porter.validate.stacks import ASK, innermost, without_stacks
from porter.validate.tree import UpstreamTree

from .tiny import MODELS, write_upstream

ROOT = Path(__file__).parents[2]
PROGRAM = """import os, sys, threading, time
from porter.validate.stacks import write_stacks


def fail():
    print("ready", flush=True)
    {what}  # HERE


def main():
    write_stacks()
    print("some last words", file=sys.stderr, flush=True)
    {how}


main()
"""
PLACE = f"program.py:{next(n for n, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith('# HERE'))}"


def run(tmp_path: Path, what: str, how: str = "fail()", ask: bool = False) -> tuple[int, Path]:
    """Exit status and log of a program; the program is asked for its stacks and ended where `ask` is set."""
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(PROGRAM.format(what=what, how=how))
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, str(program)],
            stdout=subprocess.PIPE,
            stderr=words,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        with process.stdout:
            assert select.select([process.stdout], [], [], 60)[0]
            process.stdout.readline()
            if ask:
                time.sleep(1)  # it said so a line before the one where it hangs
                process.send_signal(ASK)
                for _ in range(200):
                    if f", line {PLACE.rpartition(':')[2]} in fail" in log.read_text() and "in main" in log.read_text():
                        break
                    select.select([], [], [], 0.05)
                process.kill()
            return process.wait(60), log


@pytest.mark.parametrize("how", ["fail()", "t = threading.Thread(target=fail); t.start(); t.join()"])
def test_the_line_of_an_abort(tmp_path: Path, how: str) -> None:
    status, log = run(tmp_path, "os.abort()", how)
    assert status == -signal.SIGABRT
    assert innermost(log, [str(tmp_path)]) == PLACE
    assert innermost(log, [str(tmp_path / "elsewhere")]) == ""
    assert without_stacks(log.read_text()).split("\n")[0] == "some last words"
    assert "File" not in without_stacks(log.read_text())


def test_the_line_of_a_hang(tmp_path: Path) -> None:
    status, log = run(tmp_path, "time.sleep(60)", ask=True)
    assert status == -signal.SIGKILL
    assert innermost(log, [str(tmp_path)]) == PLACE


def test_no_log(tmp_path: Path) -> None:
    assert innermost(tmp_path / "none", [str(tmp_path)]) == ""


@pytest.mark.skipif(
    find_spec("torch") is None or find_spec("safetensors") is None, reason="needs torch (the extra xla)"
)
def test_a_job_that_hangs_is_told_with_its_line(tmp_path: Path) -> None:
    start = "        mask = commons.mask_of(y_lengths, y.size(2))\n"
    models = MODELS.replace(start, f"        __import__('time').sleep(600)\n{start}")
    tree = UpstreamTree(open_upstream(str(write_upstream(tmp_path / "upstream", models))))
    paths = tree.lay_out_reference(tmp_path / "laid out")
    place = tmp_path / "case"
    place.mkdir()
    job = Job(
        role="reference", case="synthesizer.v2.forward", device="cpu", preset="tiny", seed=0, steps=1, trace=False,
        cover=False, measure=False, package=paths.package, search=paths.search, roots=paths.roots, config=None,
        folder=str(place),
    )  # fmt: skip
    with (
        Server(os.environ, paths.search, paths.package, False, tmp_path / "log") as server,
        pytest.raises(Timeout) as late,
    ):
        server.run(job, 5)
    line = 1 + models[: models.index("__import__")].count("\n")
    assert late.value.where == f"module/models.py:{line}"
