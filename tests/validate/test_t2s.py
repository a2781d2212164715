"""The cases of the decoder of codes pass on a real upstream, and see what a wrong decoder would do."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from bench.faults.decoding import FAULTS
from bench.judge_faults import judge_faults
from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from porter.package.store import Place
from porter.validate.request import Request

GITHUB = "https://github.com/RVC-Boss/GPT-SoVITS"
CASES = ("t2s.teacher", "t2s.sampled", "t2s.rows")


def test_faults_of_the_decoder_are_seen(tmp_path: Path) -> None:
    if cached_upstream(GITHUB) is None:
        pytest.skip(f"no copy of {GITHUB} in the cache of upstreams; see the README's last section")
    try:
        snapshot = open_upstream(f"{GITHUB}@48b1a0169a28582a8984402f82cf438d3bfa6aca", offline=True)
    except PortError:
        pytest.skip("this revision is not in the cache of upstreams")
    generate(snapshot, Place(tmp_path), Settings())
    trials, alarms = judge_faults(snapshot, tmp_path, FAULTS, Request("cpu", "tiny", CASES, 0, 0, 300.0))
    assert alarms == []
    assert {trial.fault.name: trial.state for trial in trials} == {fault.name: "caught" for fault in FAULTS}
