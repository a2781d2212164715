"""Jobs that abort or hang, in forks of one real server; and servers that die."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

from porter.validate.children import Server, Timeout
from porter.validate.job import Job, Told

CASE = "synthesizer.v2.forward"
MODELS = """
from pathlib import Path


class SynthesizerTrn:
    def __init__(self):
        exec(Path("script.py").read_text())  # a job runs in its own folder
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "misbehaving").mkdir()
    (folder / "misbehaving" / "models.py").write_text(MODELS)
    with Server(os.environ, (str(folder),), "misbehaving", False, folder / "server.log") as started:
        yield started


def job(folder: Path) -> Job:
    return Job(
        role="reference",
        case=CASE,
        device="cpu",
        preset="tiny",
        seed=0,
        steps=1,
        trace=False,
        cover=False,
        measure=False,
        package="misbehaving",
        search=(),
        roots=(),
        config=None,
        folder=str(folder),
    )


def run(server: Server, folder: Path, script: str, seconds: float = 20) -> Told:
    (folder / "script.py").write_text(f"import os, subprocess, sys, time\n{script}\n")
    return server.run(job(folder), seconds)


def test_an_abort_is_told(server: Server, tmp_path: Path) -> None:
    told = run(server, tmp_path, "print('Check failed: no such op', file=sys.stderr)\nos.abort()")
    assert told.error == "the process was killed by SIGABRT: Check failed: no such op"


def test_an_early_end_is_told(server: Server, tmp_path: Path) -> None:
    assert run(server, tmp_path, "os._exit(3)").error == "the process ended with status 3"


def test_an_exception_is_told(server: Server, tmp_path: Path) -> None:
    assert run(server, tmp_path, "raise ValueError('no\\nsuch')").error == "ValueError: no"


def test_a_package_that_is_missing_is_told(server: Server, tmp_path: Path) -> None:
    asking = (
        "from porter.validate.cases.standins import StandIns\nStandIns().run(lambda: exec('from gone_away import f'))"
    )
    assert run(server, tmp_path, asking).error == "gone_away is not installed"


def test_a_hang_is_ended_with_all_that_it_started(server: Server, tmp_path: Path) -> None:
    script = f"subprocess.Popen(['sh', '-c', 'sleep 2; touch {tmp_path}/alive'])\ntime.sleep(60)"
    with pytest.raises(Timeout) as late:
        run(server, tmp_path, script, 0.5)
    assert late.value.told is None
    time.sleep(2.5)
    assert not (tmp_path / "alive").exists()


def test_what_was_reported_before_a_hang_is_kept(server: Server, tmp_path: Path) -> None:
    Told(draws=7).save(tmp_path / "kept.json")
    with pytest.raises(Timeout) as late:
        run(server, tmp_path, "os.rename('kept.json', 'reference.json')\ntime.sleep(60)", 1)
    assert late.value.told is not None
    assert late.value.told.draws == 7


def test_a_job_after_an_abort_and_a_hang_runs_in_the_same_server(server: Server, tmp_path: Path) -> None:
    pid = "raise ValueError(os.getppid())"
    before = run(server, tmp_path, pid).error
    run(server, tmp_path, "os.abort()")
    with pytest.raises(Timeout):
        run(server, tmp_path, "time.sleep(60)", 0.5)
    assert run(server, tmp_path, pid).error == before
    assert before.startswith("ValueError: ")


def test_jobs_run_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "misbehaving").mkdir()
    (tmp_path / "misbehaving" / "models.py").write_text(MODELS)
    places = [tmp_path / "one", tmp_path / "two"]
    meeting = (
        "open('here', 'w').close()\nwhile not os.path.exists('../{}/here'): time.sleep(0.01)\nraise ValueError('{}')"
    )
    with (
        Server(os.environ, (str(tmp_path),), "misbehaving", False, tmp_path / "log", at_once=2) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        for place in places:
            place.mkdir()
        told = [
            pool.submit(run, server, a, meeting.format(b.name, a.name))
            for a, b in zip(places, places[::-1], strict=True)
        ]
        assert [one.result().error for one in told] == ["ValueError: one", "ValueError: two"]


def test_one_job_too_many_waits(server: Server, tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    alone = "import fcntl\nfcntl.flock(open('../lock', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\ntime.sleep(0.3)\nraise ValueError"
    for place in places:
        place.mkdir()
    with ThreadPoolExecutor(2) as pool:
        assert [told.error for told in pool.map(lambda place: run(server, place, alone), places)] == ["ValueError"] * 2


def test_a_closed_server_starts_no_more(tmp_path: Path) -> None:
    with Server(os.environ, (), "misbehaving", False, tmp_path / "log") as server:
        server.close()
        assert server.run(job(tmp_path), 20).error == "it was stopped"


def test_a_report_of_an_earlier_job_is_not_taken_for_this_one(server: Server, tmp_path: Path) -> None:
    Told(draws=7).save(tmp_path / "reference.json")
    assert run(server, tmp_path, "os._exit(0)").error == "the process ended with status 0"


@pytest.mark.skipif(os.name != "posix", reason="stands in for Python with a shell script")
def test_a_server_that_dies_is_told_and_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho 'terminate called' >&2\nexit 3\n")
    stand_in.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(stand_in))
        with Server(os.environ, (), "misbehaving", False, tmp_path / "server.log") as server:
            told = server.run(job(tmp_path), 20)
            assert told.error == "the process ended with status 3: terminate called"
            report = json.dumps({"draws": 7})
            script = f"read job\necho started $$ $job\necho '{report}' > {tmp_path}/reference.json\necho ended 0 $job"
            stand_in.write_text(f"#!/bin/sh\n{script}\nread more\n")
            assert server.run(job(tmp_path), 20).draws == 7
