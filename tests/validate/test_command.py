"""What the command refuses, in one sentence and with status 2, without torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from porter.cli import cli
from porter.validate import environment
from porter.validate.outcome import CaseOutcome, Fusion, Outcome

from .tiny import write_port, write_upstream


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["validate", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    upstream = write_upstream(tmp_path / "upstream")
    return upstream, write_port(upstream, tmp_path / "port")


def test_list() -> None:
    status, text = invoke("--list")
    assert status == 0
    assert "synthesizer.v2.forward" in text
    status, text = invoke("--list", "--json")
    assert {"synthesizer.v2.forward", "discriminator.v2"} <= {case["name"] for case in json.loads(text)["cases"]}


def test_no_upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no package is: one that was generated here remembers its upstream
    assert invoke()[0] == 2


def test_unknown_case(pair: tuple[Path, Path]) -> None:
    status, text = invoke(*pair, "--case", "nothing")
    assert status == 2
    assert "no case nothing" in text


def test_no_manifest(pair: tuple[Path, Path], tmp_path: Path) -> None:
    status, text = invoke(pair[0], tmp_path)
    assert status == 2
    assert "has no port.json" in text
    status, text = invoke(pair[0], tmp_path / "nowhere")
    assert status == 2
    assert "is not a directory" in text


@pytest.mark.parametrize("content", ["", "[]", '{"tool": "other"}', '{"tool": "sovits-port"}', "\xff"])
def test_damaged_manifest(pair: tuple[Path, Path], content: str) -> None:
    (pair[1] / "port.json").write_text(content, encoding="latin-1")
    status, text = invoke(*pair)
    assert status == 2
    assert "is not a manifest" in text


def test_other_upstream(pair: tuple[Path, Path]) -> None:
    commons = pair[0] / "GPT_SoVITS" / "module" / "commons.py"
    commons.write_text(commons.read_text() + "\n# changed\n")
    status, text = invoke(*pair)
    assert status == 2
    assert "commons.py" in text
    assert "run generate again" in text


def test_fused_modules_are_those_of_a_tpu(pair: tuple[Path, Path]) -> None:
    status, text = invoke(*pair, "--expect-fused", 1)
    assert status == 2
    assert "--forms tpu" in text


@pytest.mark.parametrize(("expected", "status"), [(2, 1), (1, 0)])
def test_a_lost_kernel_fails(
    pair: tuple[Path, Path], expected: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CaseOutcome("one", "pass", fusions=(Fusion("dec", "residual", ""), Fusion("flow", "", "no chain")))
    outcome = Outcome("u", "", "p", "cpu", "tpu", "tiny", 0, {}, (case,))
    monkeypatch.setattr("porter.cli.validate._run", lambda *given: outcome)
    found, text = invoke(*pair, "--device", "cpu", "--forms", "tpu", "--expect-fused", expected)
    assert found == status, text
    assert ("kernels stood for 1 modules, not 2" in text) == bool(status)


def test_missing_packages(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_version", lambda package: "")
    status, text = invoke(*pair)
    assert status == 2
    assert 'pip install "sovits-port[xla]"' in text


def test_packages_that_are_no_pair(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.9.0+cpu", "torch_xla": "2.8.1"}
    monkeypatch.setattr(environment, "_version", lambda package: versions.get(package, "1"))
    status, text = invoke(*pair)
    assert status == 2
    assert "no pair" in text


def test_no_tpu(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_version", lambda package: "2.9.0")
    monkeypatch.setattr(environment, "tpu_chips", lambda: 0)
    monkeypatch.delenv("PJRT_DEVICE", raising=False)
    status, text = invoke(*pair, "--device", "tpu")
    assert status == 2
    assert "no TPU" in text
