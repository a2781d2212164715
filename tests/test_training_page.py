"""The commands of docs/from-wavs-to-speech.md as they stand there: from a folder of clips to a wave file."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch_xla", reason="needs torch_xla (the extra xla)")

import torch

from porter.analysis.config_keys import ConfigUse, longest
from porter.analysis.project import Project
from porter.inputs.sources import collect
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from tests.speaking_checkout import gpt_writer, write_clip, write_front_end, write_packages
from tests.test_real_upstreams import GITHUB, NEWEST
from tests.training_set import make_dataset

pytestmark = pytest.mark.xla

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/training.md").read_text("utf-8")
WAY = (ROOT / "docs/from-wavs-to-speech.md").read_text("utf-8")
SPARED = ("gradio", "pandas", "ffmpeg", "matplotlib")  # packages that the page says need not be installed
SECONDS = 360  # of all processes together, on the CPU

# Two steps of a network that compiles within a minute.
TRAIN = {
    "batch_size": 4,
    "epochs": 1,
    "save_every_epoch": 1,
    "segment_size": 1280,
    "fp16_run": False,
    "log_interval": 1,
}
MODEL = {
    "inter_channels": 32, "filter_channels": 64, "n_layers": 2, "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]], "upsample_initial_channel": 64, "upsample_rates": [32, 20],
    "upsample_kernel_sizes": [64, 40],
}  # fmt: skip

READ = """
import json, sys
import process_ckpt, torch, utils

path, checkpoint = sys.argv[1:]
told = process_ckpt.load_sovits_new(path)
saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
net = torch.nn.Module()
net.state_dict = lambda: saved["model"]
net.load_state_dict = lambda weights: None
print(json.dumps([
    told["config"]["model"]["version"], told["info"], len(told["weight"]), utils.load_checkpoint(checkpoint, net)[3],
]))
"""


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of a page that this test executes."""
    pattern = r"<!-- executed by tests/test_training_page.py -->\n```(\w*)\n(.*?)```"
    return re.findall(pattern, page, re.DOTALL)


def shims(folder: Path, modules: Path) -> Mapping[str, str]:
    """An environment whose `sovits-port` is this one, and whose `python` finds what is in `modules` first."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from porter.cli import main; main()"
    (commands / "sovits-port").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$@"\n')
    (commands / "python").write_text(f'#!/bin/sh\nPYTHONPATH={modules}:$PYTHONPATH exec {sys.executable} "$@"\n')
    for path in commands.iterdir():
        path.chmod(0o755)
    return {
        "PATH": f"{commands}:/usr/bin:/bin",
        "HOME": str(folder),
        "PJRT_DEVICE": "CPU",
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
        "SOVITS_PORT_COMPILATION_CACHE": "off",
    }


def bare(folder: Path) -> Mapping[str, str]:
    """An environment that lacks what the page says need not be installed to train."""
    absent = folder / "absent"
    absent.mkdir(parents=True)
    for name in SPARED:
        (absent / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}')\n")
    return shims(folder, absent)


def whole(folder: Path) -> Mapping[str, str]:
    """An environment with modules in the place of those that upstream's requirements.txt names."""
    packages = folder / "packages"
    write_packages(packages)
    return shims(folder, packages)


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if cached_upstream(GITHUB) is None:
        pytest.skip(f"no copy of {GITHUB} in the cache of upstreams; see CONTRIBUTING.md")
    folder = tmp_path_factory.mktemp("checkout")
    snapshot = open_upstream(f"{GITHUB}@{NEWEST}", offline=True)
    snapshot.materialize([name for name in snapshot.files() if name.endswith((".py", ".json"))], folder)
    return folder


def put_clips(checkout: Path, place: Path) -> None:
    """A folder of clips, most too short, so that upstream repeats all; what they say; and a reference."""
    names = make_dataset(place, clips=34, seconds=(0.3, 0.69))
    shutil.move(place / "5-wav32k", checkout / "wavs")
    said = "".join(f"{name}|my-voice|en|Some {name[5:8]} words.\n" for name in names)
    (checkout / "my-voice.list").write_text(said)
    write_clip(checkout / "wavs/one.wav")


def made_small(path: Path) -> None:
    """Change a configuration to that of a network which compiles within a minute."""
    config: dict[str, Any] = json.loads(path.read_text())
    config["train"].update(TRAIN)
    config["model"].update(MODEL)
    path.write_text(json.dumps(config))


def test_the_commands_lead_from_clips_to_speech(checkout: Path, tmp_path: Path) -> None:
    training, other = bare(tmp_path / "bare"), whole(tmp_path / "whole")
    put_clips(checkout, tmp_path)
    write_front_end(checkout)
    gpt = checkout / "GPT_SoVITS/pretrained_models/gsv-v2final-pretrained/s1bert25hz-small.ckpt"
    gpt.parent.mkdir()
    run(gpt_writer(str(gpt)), checkout, {**other, "PYTHONPATH": "GPT_SoVITS:."})
    told = blocks(WAY)
    said = ""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for index, (language, text) in enumerate(told):
        environment = other if index in (0, len(told) - 1) else training
        if language == "python":
            run(["python", "-c", text], checkout, environment)
            made_small(checkout / "my-s2.json")
        else:
            done = run(["bash", "-e", "-c", text], checkout, environment)
            said += done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert "compiling bucket 1 of 1: 4 clips of" in said and "training done" in said
    assert "load audio or ssl error" not in said
    _check_checkpoints(checkout, {**training, "PYTHONPATH": "GPT_SoVITS:."})
    assert "hello.wav: " in said and " s of sound in " in said
    with wave.open(str(checkout / "hello.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (32000, 1, 2)
        assert file.getnframes() > 16000 and any(file.readframes(file.getnframes()))


def _check_checkpoints(checkout: Path, environment: Mapping[str, str]) -> None:
    """A pair to go on with, and weights that upstream's own functions read."""
    logs = checkout / "logs/my-voice/logs_s2_v2"
    (generator,), (discriminator,) = logs.glob("G_*.pth"), logs.glob("D_*.pth")
    for path in (generator, discriminator):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        assert saved["iteration"] == 1 and all(bool(torch.isfinite(v).all()) for v in saved["model"].values())
    (weights,) = (checkout / "SoVITS_weights_v2").glob("my-voice_e1_s*.pth")
    told = run(["python", "-c", READ, str(weights), str(generator)], checkout, environment).stdout.splitlines()[-1]
    version, info, tensors, epoch = json.loads(told)
    assert (version, epoch) == ("v2", 1) and info.startswith("1epoch") and tensors > 100


def test_the_commands_of_the_training_page_are_among_them() -> None:
    executed = blocks(WAY)
    there = blocks(PAGE)
    assert len(there) == 3
    assert [block for block in executed if block in there] == there


def test_the_page_lists_every_key_that_a_trainer_reads(checkout: Path) -> None:
    table = PAGE.partition("## The configuration")[2].partition("\n## ")[0]
    listed: dict[str, set[str]] = {}
    trainers = {"s2_train", "s2_train_v3", "s2_train_v3_lora"}
    for keys, readers in re.findall(r"^\| (`[^|]+) \| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE):
        for key in re.findall(r"`([^`]+)`", keys):
            listed[key] = trainers if readers == "all" else set(readers.split(", "))
    project = Project.parse(collect(open_upstream(str(checkout))).texts)
    read: dict[str, set[str]] = {}
    for path, file in project.files.items():
        if file.is_trainer:
            for key in longest(project.fact(ConfigUse).keys(file, file.module, "hps", 3)):
                read.setdefault(key, set()).add(Path(path).stem)
    assert listed == read


def test_commands_of_the_pages_name_files_that_are_there(checkout: Path) -> None:
    told = "".join((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/own-loop.md")) + PAGE + WAY
    named = set(re.findall(r"(?:GPT_SoVITS|configs)/[\w./]+\.(?:json|py)", told))
    assert "GPT_SoVITS/configs/s2.json" in named
    assert [name for name in sorted(named - {"configs/s2.json"}) if not (checkout / name).is_file()] == []
    assert not re.search(r"--config configs/", told)
