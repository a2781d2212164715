"""Bad input to a training run: one sentence that names the file, and exit status 2."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from porter.runtime.training import checked, checks, fitting, host_copy, read_config, weights

Refusal = Callable[[Callable[[], object]], str]


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What a call says before it ends the process."""

    def run(call: Callable[[], object]) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            call()
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert said.endswith("\n") and said.count("\n") == 1
        return said

    return run


# --- config ---------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "s2.json"
    path.write_text(json.dumps({"train": {"seed": 1}, "name": "x"}))
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(path)])
    return path


def read(path: Path) -> SimpleNamespace:
    with path.open() as file:
        values = json.load(file)
    return SimpleNamespace(**values | {"train": SimpleNamespace(**values["train"])})


def test_a_whole_config_is_given_back(config: Path) -> None:
    assert read_config(lambda: read(config), ("train.seed", "name")).train.seed == 1


def test_a_missing_key_is_named_with_the_file(config: Path, refusal: Refusal) -> None:
    assert refusal(lambda: read_config(lambda: read(config), ("train.seed", "train.epochs"))) == (
        f"{config} lacks the key 'train.epochs'\n"
    )


def test_a_key_that_reading_needs_is_named_too(config: Path, refusal: Refusal) -> None:
    assert f"{config} lacks the key 'out'" in refusal(lambda: read_config(lambda: read(config).out, ()))


def test_a_config_that_is_no_json_or_not_there(config: Path, refusal: Refusal) -> None:
    config.write_text("{")
    assert f"{config} is not valid JSON" in refusal(lambda: read_config(lambda: read(config), ()))
    config.unlink()
    assert f"{config} cannot be read" in refusal(lambda: read_config(lambda: read(config), ()))


def test_errors_of_the_program_itself_come_out(config: Path) -> None:
    with pytest.raises(AttributeError):
        read_config(lambda: json.gone, ())  # type: ignore[attr-defined]


# --- dataset --------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> SimpleNamespace:
    """A dataset of two clips of a second, as upstream's tools write it."""
    for folder in ("4-cnhubert", "5-wav32k", "7-sv_cn"):
        (tmp_path / folder).mkdir()
    names = ("a.wav", "b.wav")
    (tmp_path / "2-name2text.txt").write_text("".join(f"{n}\tAA0 B\t[2]\ttext\n" for n in (*names, "loud.wav")))
    for name in names:
        with wave.open(str(tmp_path / "5-wav32k" / name), "wb") as sound:
            sound.setparams((1, 2, 32000, 0, "NONE", ""))
            sound.writeframes(bytes(64000))
        torch.save(torch.zeros(1, 768, 50), tmp_path / "4-cnhubert" / f"{name}.pt")
        torch.save(torch.zeros(1, 20480), tmp_path / "7-sv_cn" / f"{name}.pt")
    return SimpleNamespace(exp_dir=str(tmp_path), hop_length=640, sampling_rate=32000)


@pytest.mark.parametrize("version", [None, "v2", "v2Pro"])
def test_a_whole_dataset_passes(data: SimpleNamespace, version: str | None) -> None:
    checks.check_dataset(data, version=version)


@pytest.mark.parametrize("gone", ["4-cnhubert/a.wav.pt", "5-wav32k/a.wav", "7-sv_cn/a.wav.pt"])
def test_a_missing_file_of_a_clip_is_named(data: SimpleNamespace, refusal: Refusal, gone: str) -> None:
    Path(data.exp_dir, gone).unlink()
    assert f"{data.exp_dir}/{gone} is missing" in refusal(lambda: checks.check_dataset(data, "v2Pro"))


@pytest.mark.parametrize("gone", ["2-name2text.txt", "4-cnhubert", "5-wav32k"])
def test_a_missing_part_is_named(data: SimpleNamespace, refusal: Refusal, gone: str) -> None:
    Path(data.exp_dir, gone).rename(f"{data.exp_dir}/elsewhere")
    assert f"{data.exp_dir}/{gone}" in refusal(lambda: checks.check_dataset(data))


def test_a_line_that_upstream_passes_over_names_no_clip(data: SimpleNamespace) -> None:
    folder = Path(data.exp_dir)
    name = sorted(path.name for path in (folder / "5-wav32k").iterdir())[0]
    (folder / "4-cnhubert" / "short.wav.pt").write_bytes((folder / "4-cnhubert" / f"{name}.pt").read_bytes())
    with (folder / "2-name2text.txt").open("a", encoding="utf-8") as file:
        file.write("short.wav\tAH0 T\t[2]\n")  # three columns
    checks.check_dataset(data, "v2")


def test_an_empty_dataset(data: SimpleNamespace, refusal: Refusal) -> None:
    Path(data.exp_dir, "2-name2text.txt").write_text("")
    assert data.exp_dir in refusal(lambda: checks.check_dataset(data))


@pytest.mark.parametrize("folder", ["4-cnhubert", "7-sv_cn"])
def test_nan_in_a_feature_file(data: SimpleNamespace, refusal: Refusal, folder: str) -> None:
    path = Path(data.exp_dir, folder, "b.wav.pt")
    torch.save(torch.tensor([[0.0, float("nan")]]), path)
    assert refusal(lambda: checks.check_dataset(data, "v2Pro")) == f"{path} holds NaN or infinity\n"


def test_a_torn_feature_file(data: SimpleNamespace, refusal: Refusal) -> None:
    path = Path(data.exp_dir, "4-cnhubert", "b.wav.pt")
    path.write_bytes(path.read_bytes()[:1000])
    assert f"{path} cannot be loaded" in refusal(lambda: checks.check_dataset(data))


def float_wav(samples: list[float], extensible: bool) -> bytes:
    kind, guid = (0xFFFE, struct.pack("<HHIH14s", 22, 32, 4, 3, bytes(14))) if extensible else (3, b"")
    layout = struct.pack("<HHIIHH", kind, 1, 32000, 128000, 4, 32) + guid
    body = struct.pack(f"<{len(samples)}f", *samples)
    chunks = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("extensible", [False, True])
def test_nan_in_audio(
    data: SimpleNamespace, refusal: Refusal, extensible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")  # which such a file takes to be read
    path = Path(data.exp_dir, "5-wav32k", "a.wav")
    path.write_bytes(float_wav([0.5] * 32000, extensible))
    checks.check_dataset(data)
    path.write_bytes(float_wav([0.5] * 32000 + [float("nan")], extensible))
    assert refusal(lambda: checks.check_dataset(data)) == f"{path} holds NaN or infinity\n"


# --- checkpoints ----------------------------------------------------------------------------------


class Net(torch.nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(2, width)
        self.decoder = torch.nn.Linear(width, 1)


def test_weights_that_fit_are_loaded(tmp_path: Path) -> None:
    saved = Net().state_dict()
    del saved["decoder.bias"]
    torch.save({"weight": saved}, tmp_path / "G.pth")
    got = weights(Net(), tmp_path / "G.pth", "weight", map_location="cpu", weights_only=False)
    assert got.keys() == saved.keys() and torch.equal(got["encoder.weight"], saved["encoder.weight"])


def test_a_whole_part_may_be_missing_or_too_many() -> None:
    whole = Net().state_dict()
    half = {k: v for k, v in whole.items() if k.startswith("encoder")}
    assert fitting(half, Net(), "G.pth") is half
    more = whole | {"other.weight": torch.zeros(1)}
    assert fitting(more, Net(), "G.pth") is more


def test_weights_of_another_version_are_refused(refusal: Refusal) -> None:
    said = refusal(lambda: fitting(Net(3).state_dict(), Net(), "G.pth"))
    assert said.startswith("G.pth is a checkpoint of another version: encoder.weight has the shape (3, 2) there")
    other = {k.replace("decoder", "flow"): v for k, v in Net().state_dict().items()}
    assert "it has flow, and lacks decoder" in refusal(lambda: fitting(other, Net(), "G.pth"))
    assert "it has no 'weight'" in refusal(lambda: fitting({"model": {}}, Net(), "G.pth", "weight"))


def test_a_torn_checkpoint_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "G.pth"
    torch.save({"model": Net().state_dict()}, path)
    path.write_bytes(path.read_bytes()[:500])
    assert f"{path} cannot be read as a checkpoint" in refusal(lambda: weights(Net(), path, "weight"))
    assert f"{path} cannot be read as a checkpoint" in refusal(lambda: checked(path, Net()))


def test_a_checkpoint_to_resume_from_has_the_networks_names(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "G.pth"
    torch.save({"model": Net().state_dict()}, path)
    assert checked(path, Net()) is path
    wrapped = Net()
    wrapped.module = Net()
    assert checked(path, wrapped) is path
    fewer = {k: v for k, v in Net().state_dict().items() if k != "decoder.bias"}
    torch.save({"model": fewer}, path)
    assert "it lacks decoder.bias" in refusal(lambda: checked(path, Net()))
    torch.save({"model": Net().state_dict() | {"x": torch.zeros(1)}}, path)
    assert "it also has x" in refusal(lambda: checked(path, Net()))
    torch.save({"weight": {}}, path)
    assert "it has no 'model'" in refusal(lambda: checked(path, Net()))


def test_a_host_copy_keeps_lists() -> None:
    x = torch.arange(3.0)
    copied = host_copy([x, (x, 2)])
    assert torch.equal(copied[0], x) and isinstance(copied[1], tuple) and copied[1][1] == 2
