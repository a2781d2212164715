"""Rounding that upstream has as well is no fault; anything more is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter.cli import cli
from porter.validate.compare import TensorReport
from porter.validate.outcome import CaseOutcome
from porter.validate.rounding import MARGIN, doubtful, relieve

from .tiny import MODELS, write_port, write_upstream

CASE = "synthesizer.v2.forward"
LINE = "        z = (x + torch.randn_like(x)) * mask\n"
CANCELLING = LINE + "        z = ((z + 3000.0) - 3000.0) * mask\n"  # leaves about 16 of 24 bits
ELSEHOW = "        z = (z + (3000.0 - 3000.0)) * mask\n"


@pytest.fixture
def cancelling(tmp_path: Path) -> Callable[[str], Path]:
    """An upstream that rounds, at the first call, and ports of it that do this line in another way."""
    write_upstream(tmp_path / "upstream", MODELS.replace(LINE, CANCELLING))

    def port(line: str) -> Path:
        return write_port(tmp_path / "upstream", tmp_path / "port", CANCELLING.removeprefix(LINE), line)

    return port


def invoke(port: Path, *options: str) -> Result:
    fixed = ["--device", "cpu", "--preset", "tiny", "--steps", "1", "--case", CASE]
    told = CliRunner().invoke(cli, ["validate", str(port.parent / "upstream"), str(port), *fixed, *options])
    assert told.exit_code in (0, 1), told.output
    return told


def validate(port: Path) -> tuple[int, dict[str, Any]]:
    told = invoke(port, "--json")
    return told.exit_code, json.loads(told.stdout)["cases"][0]


def own(case: dict[str, Any]) -> dict[str, float]:
    """Tensors that were judged by upstream's own rounding."""
    told = [tensor for group in case["groups"].values() for tensor in group["tensors"]]
    return {tensor["name"]: tensor["own_db"] for tensor in told if tensor["own_db"] is not None}


def test_a_port_that_rounds_less_than_upstream_passes(cancelling: Callable[[str], Path]) -> None:
    status, case = validate(cancelling(ELSEHOW))
    assert (status, case["verdict"]) == (0, "pass")
    assert 85 < own(case)["SynthesizerTrn.1.0"] < 110


def test_a_port_that_rounds_much_more_than_upstream_fails(cancelling: Callable[[str], Path]) -> None:
    line = "        z = ((z + 60000.0) - 60000.0) * mask\n"
    told = invoke(cancelling(line))
    assert told.exit_code == 1
    assert "upstream itself is" in told.stdout


def test_a_port_that_rounds_more_than_a_lucky_upstream_passes_if_float64_agrees(tmp_path: Path) -> None:
    write_upstream(tmp_path / "upstream")
    worse = write_port(
        tmp_path / "upstream", tmp_path / "port", LINE, LINE + "        z = ((z + 300.0) - 300.0) * mask\n"
    )
    told = invoke(worse)
    assert told.exit_code == 0
    assert "from that in float64" in told.stdout


def test_a_port_that_is_off_in_float64_too_fails(tmp_path: Path) -> None:
    write_upstream(tmp_path / "upstream")
    wrong = write_port(tmp_path / "upstream", tmp_path / "port", LINE, LINE + "        z = z * 1.000001\n")
    status, case = validate(wrong)
    assert (status, case["verdict"]) == (1, "mismatch")
    assert case["groups"]["results"]["least_db"] > 105  # no further off than the port that passes


@pytest.mark.parametrize(("factor", "verdict"), [("1.0", "pass"), ("1.001", "mismatch")])
def test_a_variation_is_judged_by_its_own_rounding(tmp_path: Path, factor: str, verdict: str) -> None:
    alone = "        far = 30000.0 if len(z) == 1 else 0.0  # a batch of one is a variation\n"
    upstream = LINE + alone + "        z = ((z + far) - far) * mask\n"
    write_upstream(tmp_path / "upstream", MODELS.replace(LINE, upstream))
    ported = alone + f"        z = z * ({factor} if far else 1.0) * mask\n"
    port = write_port(tmp_path / "upstream", tmp_path / "port", upstream.removeprefix(LINE), ported)
    _, case = validate(port)
    assert case["verdict"] == verdict, case
    varied = own(case)
    assert 60 < varied["batch of one: SynthesizerTrn.1.0"] < 100
    assert "SynthesizerTrn.1.0" not in varied


def test_a_recording_brings_the_rounding_along(cancelling: Callable[[str], Path], tmp_path: Path) -> None:
    port, file = cancelling(ELSEHOW), tmp_path / "upstream.recording"
    fixed = ["--device", "cpu", "--preset", "tiny", "--steps", "1", "--case", CASE]
    done = CliRunner().invoke(cli, ["record", str(tmp_path / "upstream"), "--out", str(file), *fixed])
    assert done.exit_code == 0, done.output
    told = CliRunner().invoke(
        cli, ["validate", str(tmp_path / "upstream"), str(port), "--device", "cpu", "--reference", str(file), "--json"]
    )
    assert told.exit_code == 0, told.output
    assert own(json.loads(told.stdout)["cases"][0])["SynthesizerTrn.1.0"] < 110


def report(ratio: float, **more: Any) -> TensorReport:
    return TensorReport("results", "z", (3,), "float32", ratio >= 110, snr_db=ratio, limit_db=110, **more)


def outcome(*tensors: TensorReport, findings: tuple[str, ...] = ()) -> CaseOutcome:
    return CaseOutcome(CASE, "mismatch", findings, tensors)


def test_only_distances_near_the_limit_are_doubtful() -> None:
    assert doubtful(outcome(report(100)))
    assert not doubtful(outcome(report(120)))
    assert not doubtful(outcome(report(30)))
    assert not doubtful(outcome(report(100), report(100, problem="the port lacks it")))
    assert not doubtful(outcome(report(100), findings=("another draw",)))


def test_a_limit_gives_way_by_the_margin_and_no_further() -> None:
    assert relieve(outcome(report(100)), {"results/z": 100 + MARGIN}).passed
    assert not relieve(outcome(report(100)), {"results/z": 101 + MARGIN}).passed
    assert not relieve(outcome(report(100)), {}).passed
    (kept,) = relieve(outcome(report(109)), {"results/z": 130}).tensors
    assert (kept.limit_db, kept.passed) == (110, False)
