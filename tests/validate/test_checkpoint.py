"""Upstream's checkpoints in the judge, and the port's checkpoints in upstream."""

from __future__ import annotations

import io
import json
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

import torch
from safetensors.torch import load

from porter.cli import cli
from porter.errors import PortError
from porter.validate.checkpoint import read_checkpoint

from .tiny import write_port, write_upstream

CASE = "synthesizer.v2.forward"


class HParams:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Trap:
    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Trap, "sprung", True)


def saved(told: object, head: bytes = b"") -> bytes:
    stream = io.BytesIO()
    torch.save(told, stream)
    content = stream.getvalue()
    return head + content[len(head) :]


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {
        "keys.weight": torch.randn(8, 8).half(),
        "keys.bias": torch.randn(8).half(),
        "embed.weight": torch.randn(60, 8).half(),  # of another size
        "nothing.weight": torch.randn(3).half(),
    }


@pytest.mark.parametrize("key", ["weight", "model"])
@pytest.mark.parametrize("head", [b"", b"05"])
def test_upstreams_forms_are_read(key: str, head: bytes) -> None:
    found = read_checkpoint(saved({key: weights(), "info": "x", "iteration": 3}, head), "g.pth")
    assert found.keys() == weights().keys()
    assert all(torch.equal(found[name], value) for name, value in weights().items())


def test_upstreams_settings_are_read_without_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("utils")
    monkeypatch.setitem(sys.modules, "utils", stand_in)
    monkeypatch.setattr(HParams, "__module__", "utils")
    stand_in.HParams = HParams  # type: ignore[attr-defined]
    content = saved({"weight": weights(), "config": HParams(model=HParams(version="v2"), a=[1])})
    monkeypatch.delitem(sys.modules, "utils")
    assert read_checkpoint(content, "g.pth").keys() == weights().keys()


def test_code_is_not_run_and_named() -> None:
    content = saved({"weight": weights(), "config": Trap()})
    with pytest.raises(PortError, match=r"g.pth is not loaded, since it needs .*setattr.*, which would run code"):
        read_checkpoint(content, "g.pth")
    assert not Trap.sprung


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no checkpoint"),
        (b"PK and so on", "no checkpoint"),
        (b"hello", "no checkpoint"),
        (saved({"weight": weights()})[:-200], "no checkpoint"),
        (saved([1, 2]), "has no `weight`"),
        (saved({"weight": 3}), "has no `weight`"),
    ],
)
def test_what_is_no_checkpoint_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(PortError, match=words):
        read_checkpoint(content, "g.pth")


def test_weights_that_fit_are_used(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    (tmp_path / "g.pth").write_bytes(saved({"weight": weights()}))
    common = ["--preset", "tiny", "--steps", "0", "--case", CASE, "--json", "--device", "cpu"]
    taking = [*common, "--checkpoint", str(tmp_path / "g.pth")]
    done = CliRunner().invoke(cli, ["record", str(upstream), "--out", str(tmp_path / "file"), *taking])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["fitted"] == 2
    with zipfile.ZipFile(tmp_path / "file") as archive:
        recorded = load(archive.read(f"{CASE}/weights.safetensors"))
    assert torch.equal(recorded["SynthesizerTrn.keys.weight"], weights()["keys.weight"].float())
    assert recorded["SynthesizerTrn.embed.weight"].shape == (50, 8)
    port = write_port(upstream, tmp_path / "port")
    done = CliRunner().invoke(cli, ["validate", str(upstream), str(port), *taking])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["fitted"] == 2


def test_weights_of_which_none_fits_are_refused(tmp_path: Path) -> None:
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port")
    (tmp_path / "g.pth").write_bytes(saved({"weight": {"keys.weight": torch.ones(3)}}))
    common = ["--preset", "tiny", "--steps", "0", "--case", CASE, "--device", "cpu"]
    taking = [*common, "--checkpoint", str(tmp_path / "g.pth")]
    for command in (
        ["validate", str(upstream), str(port), *taking],
        ["record", str(upstream), "--out", str(tmp_path / "file"), *taking],
    ):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 2
        assert "no tensor of g.pth fits" in done.stderr
    assert not (tmp_path / "file").exists()


def findings(tmp_path: Path, old: str, new: str) -> str:
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port", old, new)
    common = ["--preset", "tiny", "--steps", "0", "--case", CASE, "--device", "cpu", "--json"]
    done = CliRunner().invoke(cli, ["validate", str(upstream), str(port), *common])
    assert done.exit_code == 1, done.output
    (case,) = json.loads(done.stdout)["cases"]
    assert case["verdict"] == "mismatch"
    return " | ".join(case["findings"])


def test_a_checkpoint_that_grows_in_a_step_is_found(tmp_path: Path) -> None:
    old = "self.seen += z.detach().mean((0, 2))"
    new = f"{old}\n        self.late = nn.Parameter(torch.zeros(2)) if not hasattr(self, 'late') else self.late"
    found = findings(tmp_path, old, new)
    assert "after a step, state_dict of the port has SynthesizerTrn.late, which upstream's has not" in found
    assert "upstream cannot load the port's checkpoint: Unexpected key(s)" in found


def test_a_checkpoint_of_other_shapes_is_found(tmp_path: Path) -> None:
    old = "self.seen += z.detach().mean((0, 2))"
    new = f"{old}\n        self.keys.bias.data = self.keys.bias.data[None]"
    found = findings(tmp_path, old, new)
    assert "SynthesizerTrn.keys.bias is torch.float32 [1, 8] in the port and torch.float32 [8] upstream" in found
    assert "upstream cannot load the port's checkpoint: size mismatch for SynthesizerTrn.keys.bias" in found
