"""The whole judge on a made-up upstream, eager on the CPU."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter.cli import cli
from porter.inputs.upstream import open_upstream
from porter.validate.children import Server
from porter.validate.job import Job, Told
from porter.validate.manifest import read_manifest
from porter.validate.outcome import CaseOutcome
from porter.validate.sourcemap import SourceMap
from porter.validate.tree import Paths, UpstreamTree
from porter.validate.verdicts import judge_failure, judge_tensors

from .tiny import MODELS, write_port, write_upstream

CASE = "synthesizer.v2.forward"
BOTH = ("--case", CASE, "--case", "discriminator.v2")


def judge(tmp_path: Path, old: str = "", new: str = "", *options: str) -> tuple[int, dict[str, Any]]:
    """The command, from end to end."""
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port", old, new)
    arguments = ["validate", str(upstream), str(port), "--device", "cpu", "--preset", "tiny"]
    done = CliRunner().invoke(cli, [*arguments, "--steps", "1", "--json", *options])
    assert done.exit_code in (0, 1), done.output
    return done.exit_code, json.loads(done.stdout)


def base(case: dict[str, Any], group: str) -> list[dict[str, Any]]:
    """Reports of the step itself, without its variations."""
    return [told for told in case["groups"][group]["tensors"] if ":" not in told["name"]]


def test_a_faithful_port_passes(tmp_path: Path) -> None:
    status, told = judge(tmp_path, "", "", *BOTH)
    assert status == 0
    synthesizer, discriminator = told["cases"]
    assert synthesizer["verdict"] == "pass"
    assert synthesizer["draws"] == 4  # two masks, a number, a noise
    assert synthesizer["groups"]["results"]["least_db"] is None
    assert len(base(synthesizer, "gradients")) == 11
    assert [t["name"] for t in base(synthesizer, "buffers")] == ["SynthesizerTrn.seen"]
    assert discriminator["verdict"] == "not in this upstream"
    assert str(tmp_path) not in json.dumps(told)


def test_an_original_that_always_asks_for_cuda_runs_on_the_host(tmp_path: Path) -> None:
    asking = MODELS.replace("self.conv(x * mask)", "self.conv((x * mask).cuda(x.device))")
    upstream = write_upstream(tmp_path / "upstream", asking)
    named = '.to(__import__("os").environ["SOVITS_PORT_DEVICE"])'  # the device that is meant where none is named
    port = write_port(upstream, tmp_path / "port", ".cuda(x.device)", named)
    arguments = ["validate", str(upstream), str(port), "--device", "cpu", "--preset", "tiny", "--steps", "1", "--json"]
    done = CliRunner().invoke(cli, [*arguments, "--case", CASE])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["verdict"] == "pass"


def test_a_lost_mask_is_found_and_traced_to_its_rule(tmp_path: Path) -> None:
    status, told = judge(tmp_path, "self.drop(y) * mask", "self.drop(y)", "--case", CASE)
    assert status == 1
    (case,) = told["cases"]
    assert case["verdict"] == "mismatch"
    divergence = case["divergence"]
    assert (divergence["name"], divergence["kind"]) == ("SynthesizerTrn.mix.0", "Mixer")
    assert divergence["inside"].startswith("Mixer (models.py:")
    assert [edit["rule"] for edit in divergence["edits"]] == ["TST001"]


def run(job: Job, folder: Path) -> Told:
    with Server(os.environ, job.search, job.package, False, folder / "server.log") as server:
        return server.run(job, 100)


class Reference:
    """Upstream's run, made once, and ports judged against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upstream = write_upstream(folder / "upstream")
        self.tree = UpstreamTree(open_upstream(str(self.upstream)))
        (folder / "case").mkdir()
        job = self.job(self.tree.lay_out_reference(folder / "laid out"), folder / "case")
        self.told = run(job, folder)
        assert not self.told.error

    def job(self, paths: Paths, place: Path) -> Job:
        return Job(
            role="port" if paths.package == "module.tpu" else "reference",
            case=CASE,
            device="cpu",
            preset="tiny",
            seed=3,
            steps=0,
            trace=False,
            cover=False,
            measure=False,
            package=paths.package,
            search=paths.search,
            roots=paths.roots,
            config=None,
            folder=str(place),
        )

    def judge(self, name: str, old: str, new: str) -> CaseOutcome:
        port = write_port(self.upstream, self.folder / name, old, new)
        place = Path(shutil.copytree(self.folder / "case", self.folder / f"{name} case"))
        paths = self.tree.lay_out_rest(self.folder / "rest", port)
        told = run(self.job(paths, place), self.folder)
        lines = SourceMap(read_manifest(port).edits)
        if told.error or told.dtypes is None:
            return judge_failure(name, "the port", told, lines) if told.error else findings_alone(told)
        return judge_tensors(name, self.told, told, place, "cpu", lines)


def findings_alone(told: Told) -> CaseOutcome:
    return CaseOutcome("", "mismatch", told.findings)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference").resolve())


def test_lost_gradient_and_other_noise_are_findings(reference: Reference) -> None:
    old = "z = (x + torch.randn_like(x)) * mask"
    outcome = reference.judge("noise", old, "z = (x.detach() + torch.rand_like(x)) * mask")
    assert outcome.verdict == "mismatch"
    findings = " | ".join(outcome.findings)
    assert "SynthesizerTrn.mix.0.conv.weight gets no gradient in the port, and gets one upstream" in findings
    assert "the port makes a uniform draw of shape [2, 8, 24] that upstream does not" in findings
    assert "TST001 of GPT_SoVITS/module/models.py" in findings
    assert "upstream makes a normal draw of shape [2, 8, 24] that the port does not" in findings


def test_other_parameters_and_signatures_are_findings(reference: Reference) -> None:
    old = "self.post = nn.Conv1d(8, 4, 1)"
    outcome = reference.judge("parameters", old, f"{old}\n        self.last = self.post")
    assert (
        "state_dict of the port has SynthesizerTrn.last.bias, SynthesizerTrn.last.weight, which upstream's has not"
        in outcome.findings
    )
    outcome = reference.judge("signature", "def infer(self, y)", "def infer(self, y, more=1)")
    assert outcome.verdict == "mismatch"
    assert outcome.findings == ("SynthesizerTrn.infer of the port takes other parameters than upstream's",)


def test_torch_xla_imported_for_the_cpu_is_a_finding(reference: Reference) -> None:
    pytest.importorskip("torch_xla", reason="needs torch_xla")
    old = "z = (x + torch.randn_like(x)) * mask"
    outcome = reference.judge("import", old, f"import torch_xla.version\n        {old}")
    assert outcome.verdict == "mismatch"
    assert "it imports torch_xla, though nothing of it is on XLA's device" in outcome.findings


def test_a_crash_is_told_with_its_line(reference: Reference) -> None:
    outcome = reference.judge("crash", "* random.random()", "* random.nothing()")
    assert outcome.verdict == "error"
    assert "AttributeError" in outcome.findings[0]
    assert "TST001" in outcome.findings[0]
