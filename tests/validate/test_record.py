"""Recording upstream and replaying it, on a made-up upstream."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from safetensors.torch import load

from porter.cli import cli
from porter.validate import recording

from .tiny import MODELS, write_port, write_upstream

CASE = "synthesizer.v2.forward"
# Each import leaves its name in a file.
TELLING = "import os\nwith open(os.environ['IMPORTED'], 'a') as told:\n    print(__name__, file=told)\n" + MODELS


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


def record(upstream: Path, out: Path, *options: object) -> tuple[int, dict[str, Any]]:
    fixed = ["--device", "cpu", "--preset", "tiny", "--steps", "1", "--json"]
    cases = [] if "--case" in options else ["--case", CASE, "--case", "discriminator.v2"]
    status, data, messages = invoke("record", upstream, "--out", out, *fixed, *cases, *options)
    assert status in (0, 1), messages
    return status, json.loads(data)


def replay(upstream: Path, port: Path, file: Path, *options: object) -> tuple[int, dict[str, Any]]:
    status, data, messages = invoke(
        "validate", upstream, port, "--device", "cpu", "--reference", file, "--json", *options
    )
    assert status in (0, 1), messages
    return status, json.loads(data)


class Made:
    """An upstream, a port of it and a recording."""

    def __init__(self, folder: Path) -> None:
        self.upstream = write_upstream(folder / "upstream", TELLING)
        self.port = write_port(self.upstream, folder / "port")
        self.file = folder / "tiny.recording"
        self.imported = folder / "imported"
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("IMPORTED", str(self.imported))
            self.status, self.told = record(self.upstream, self.file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made").resolve())


@pytest.fixture(autouse=True)
def imported(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPORTED", str(made.imported))


# -- what is recorded ---------------------------------------------------------------------------------------------


def test_a_recording_holds_what_a_port_is_compared_with(made: Made) -> None:
    assert made.status == 0
    assert [(case["name"], case["state"]) for case in made.told["cases"]] == [
        (CASE, "recorded"),
        ("discriminator.v2", "not in this upstream"),
    ]
    assert made.told["cases"][0]["draws"] == 4
    header = recording.read_header(made.file)
    assert (header.preset, header.seed, header.steps, header.cases) == ("tiny", 0, 1, (CASE, "discriminator.v2"))
    models = made.upstream / "GPT_SoVITS" / "module" / "models.py"
    assert header.sources["GPT_SoVITS/module/models.py"] == hashlib.sha256(models.read_bytes()).hexdigest()
    assert header.versions["torch"] == version("torch")
    with zipfile.ZipFile(made.file) as archive:
        names = {name.partition("/")[2] for name in archive.namelist() if name.startswith(f"{CASE}/")}
        assert all(name.endswith((".json", ".safetensors")) for name in archive.namelist())
        weights = load(archive.read(f"{CASE}/weights.safetensors"))
        results = load(archive.read(f"{CASE}/reference.safetensors"))
    assert {"arguments.json", "signatures.json", "scales.json", "noise.json", "state.json", "reference.json"} <= names
    tensors = {name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors")}
    base = {"initial", "weights", "batches", "noise", "kinks", "reference", "reference.varied"}
    assert tensors >= base
    varied = {name.partition(".")[0] for name in tensors - base}
    assert {"step-2", "odd"} <= varied
    assert tensors - base == {f"{name}.{part}" for name in varied for part in ("batch", "noise", "kinks")}
    assert weights["SynthesizerTrn.pre.weight"].any()
    assert {name.partition("/")[0] for name in results} == {"results", "gradients", "buffers", "trace"}


def test_the_same_run_gives_the_same_bytes_and_another_seed_does_not(made: Made, tmp_path: Path) -> None:
    record(made.upstream, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == made.file.read_bytes()
    record(made.upstream, tmp_path / "other", "--seed", "1")
    assert recording.read_header(tmp_path / "other").seed == 1
    assert (tmp_path / "other").read_bytes() != made.file.read_bytes()


def test_upstreams_own_failure_is_recorded_and_told(tmp_path: Path) -> None:
    broken = MODELS.replace("x = self.pre(y) * mask", "x = self.pre(y) * masc")
    upstream = write_upstream(tmp_path / "upstream", broken)
    status, told = record(upstream, tmp_path / "file", "--case", CASE)
    assert status == 1
    state = told["cases"][0]["state"]
    assert state.startswith("upstream failed: NameError: name 'masc' is not defined at module/models.py:")
    status, told = replay(upstream, write_port(upstream, tmp_path / "port"), tmp_path / "file")
    assert status == 1
    assert told["cases"][0]["verdict"] == "error"
    assert "masc" in told["cases"][0]["findings"][0]


# -- what is replayed ---------------------------------------------------------------------------------------------


def test_a_replay_finds_what_a_run_finds_without_running_upstream(made: Made) -> None:
    made.imported.write_text("")
    status, told = replay(made.upstream, made.port, made.file)
    assert status == 0
    assert set(made.imported.read_text().split()) == {"module.tpu.models"}
    assert "with torch" in told["reference"]
    status, data, _ = invoke(
        *("validate", made.upstream, made.port, "--device", "cpu", "--preset", "tiny", "--steps", "1", "--json"),
        *("--case", CASE, "--case", "discriminator.v2"),
    )
    assert status == 0
    assert set(made.imported.read_text().split()) == {"module.tpu.models", "module.models"}
    directly = json.loads(data)
    for case in (*told["cases"], *directly["cases"]):
        del case["seconds"]
    assert told["cases"] == directly["cases"]
    assert directly["reference"] == ""


def test_a_lost_mask_is_traced_to_its_rule(made: Made, tmp_path: Path) -> None:
    port = write_port(made.upstream, tmp_path / "port", "self.drop(y) * mask", "self.drop(y)")
    status, told = replay(made.upstream, port, made.file, "--case", CASE)
    assert status == 1
    (case,) = told["cases"]
    assert case["verdict"] == "mismatch"
    assert (case["divergence"]["name"], case["divergence"]["kind"]) == ("SynthesizerTrn.mix.0", "Mixer")
    assert [edit["rule"] for edit in case["divergence"]["edits"]] == ["TST001"]


# -- what is refused ----------------------------------------------------------------------------------------------


def refused(made: Made, file: Path, *options: object, port: Path | None = None, upstream: Path | None = None) -> str:
    """The one sentence with which `validate --reference` refuses a file."""
    status, data, messages = invoke(
        "validate", upstream or made.upstream, port or made.port, "--device", "cpu", "--reference", file, *options
    )
    assert status == 2, messages
    assert data == ""
    *_, sentence = messages.splitlines()
    return sentence


def test_a_file_that_was_cut_short(made: Made, tmp_path: Path) -> None:
    content, file = made.file.read_bytes(), tmp_path / "short"
    for length in (0, 1, 100, len(content) // 2, len(content) - 30_000, len(content) - 1):
        file.write_bytes(content[:length])
        assert "cut short" in refused(made, file)


def test_a_file_that_is_no_recording(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert "cannot read" in refused(made, file)
    assert "cannot read" in refused(made, tmp_path)
    for content in ("{}", '{"tool": "other"}', "[]", "\xff"):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("recording.json", content)
        assert "is not a whole recording" in refused(made, file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("other.json", "{}")
    assert "is not a whole recording" in refused(made, file)


def test_a_byte_that_was_changed_in_any_member(made: Made, tmp_path: Path) -> None:
    content, file = made.file.read_bytes(), tmp_path / "changed"
    with zipfile.ZipFile(made.file) as archive:
        places = [(info.filename, info.header_offset, info.file_size) for info in archive.infolist()]
    assert len(places) > 10
    for name, start, size in places:
        inside = start + 30 + len(name) + size // 2 + 20  # beyond the local header and its extra field
        file.write_bytes(content[:inside] + bytes([content[inside] ^ 1]) + content[inside + 1 :])
        assert "record again" in refused(made, file)


def rewritten(made: Made, file: Path, change: Callable[[dict[str, Any]], None], sign: bool = True) -> Path:
    """The recording with another header, and checksums that are right."""
    with zipfile.ZipFile(made.file) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "recording.json":
                told = json.loads(content)
                change(told)
                del told["sha256"]
                told["sha256"] = recording._digest(told) if sign else "0" * 64
                content = json.dumps(told).encode()
            new.writestr(name, content)
    return file


def test_a_header_that_was_changed(made: Made, tmp_path: Path) -> None:
    def nothing(told: dict[str, Any]) -> None:
        pass

    def lie(told: dict[str, Any]) -> None:
        told["seed"] = 5

    def forget(told: dict[str, Any]) -> None:
        told["members"].pop(f"{CASE}/weights.safetensors")

    assert replay(made.upstream, made.port, rewritten(made, tmp_path / "same", nothing))[0] == 0
    assert "changed after it was recorded" in refused(made, rewritten(made, tmp_path / "lie", lie, sign=False))
    assert "changed after it was recorded" in refused(made, rewritten(made, tmp_path / "forget", forget))


def test_members_that_do_not_belong(made: Made, tmp_path: Path) -> None:
    def add(told: dict[str, Any]) -> None:
        told["members"]["../outside.json"] = hashlib.sha256(b"{}").hexdigest()

    file = rewritten(made, tmp_path / "file", add)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../outside.json", "{}")
    assert "changed after it was recorded" in refused(made, file)


def test_another_format_or_tool(made: Made, tmp_path: Path) -> None:
    def newer(told: dict[str, Any]) -> None:
        told["format"] += 1

    def older(told: dict[str, Any]) -> None:
        told["version"] = "0.0.1"

    assert f"has format {recording.FORMAT + 1} of sovits-port" in refused(made, rewritten(made, tmp_path / "n", newer))
    assert "of sovits-port 0.0.1, and this is" in refused(made, rewritten(made, tmp_path / "o", older))


def test_another_upstream(made: Made, tmp_path: Path) -> None:
    upstream = Path(shutil.copytree(made.upstream, tmp_path / "upstream"))
    commons = upstream / "GPT_SoVITS" / "module" / "commons.py"
    commons.write_text(commons.read_text() + "\n# moved on\n")
    sentence = refused(made, made.file, port=write_port(upstream, tmp_path / "port"), upstream=upstream)
    assert "was recorded from upstream, where GPT_SoVITS/module/commons.py is not what the package was made" in sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--preset", "full"), "was recorded with --preset tiny, not full"),
        (("--seed", 1), "was recorded with --seed 0, not 1"),
        (("--steps", 2), "was recorded with --steps 1, not 2"),
        (("--case", "losses"), "holds no case losses"),
        (("--checkpoint", "x.pth"), "--checkpoint goes with record"),
    ],
)
def test_options_that_contradict(made: Made, options: tuple[object, ...], words: str) -> None:
    assert words in refused(made, made.file, *options)


def test_options_that_agree(made: Made) -> None:
    status, told = replay(made.upstream, made.port, made.file, "--preset", "tiny", "--seed", 0, "--case", CASE)
    assert status == 0
    assert [case["name"] for case in told["cases"]] == [CASE]


# -- how it is written --------------------------------------------------------------------------------------------


def test_a_failed_run_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), recording.writing(file):
        _ = 1 // 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"


def test_a_file_that_cannot_be_written(made: Made, tmp_path: Path) -> None:
    for out, words in ((tmp_path, "is a directory"), (tmp_path / "no" / "file", "cannot write")):
        status, _, messages = invoke("record", made.upstream, "--out", out, "--device", "cpu")
        assert status == 2
        assert words in messages


def test_cuda_where_there_is_none(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    status, _, messages = invoke("record", made.upstream, "--out", tmp_path / "file", "--device", "cuda")
    assert status == 2
    assert "torch finds no CUDA device" in messages
    assert list(tmp_path.iterdir()) == []
