"""Trainers beside the folder `module`: found, ported into a folder of their own, and told what they want."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from porter.inputs.sources import collect
from porter.inputs.upstream import open_upstream
from tests.tiny_upstream import own_rules, run, tiny

LOOP = """import torch
import helpers
import words
from module import models
from module.commons import double
from far_away import Judge


def main(loader, net, optimizer):
    for batch in loader:
        loss = double(net(batch)).sum()
        loss.backward()
        optimizer.step()
    helpers.keep(net, words.PLACE)
"""
HELPERS = "import os\nimport torch\n\n\ndef keep(net, place):\n    torch.save(net.state_dict(), place)\n"
FILES: dict[str, str | bytes | None] = {
    "GPT_SoVITS/learn.py": LOOP,
    "GPT_SoVITS/helpers.py": HELPERS,
    "GPT_SoVITS/words.py": "PLACE = 'x'\n",
    "GPT_SoVITS/speak.py": "import torch\nfrom module import models\n",
    "GPT_SoVITS/learn_other.py": "import torch\n\n\ndef f(loss):\n    loss.backward()\n",
}


def trainers(root: Path) -> dict[str, str]:
    found = collect(open_upstream(str(root)))
    return {path: target for path, (target, _) in found.texts.items() if target.startswith("trainers/")}


class TestScope:
    def test_a_trainer_and_the_files_beside_it_that_use_torch(self, tmp_path: Path) -> None:
        assert trainers(tiny(tmp_path, FILES)) == {
            "GPT_SoVITS/learn.py": "trainers/learn.py",
            "GPT_SoVITS/helpers.py": "trainers/helpers.py",
        }

    def test_none(self, tmp_path: Path) -> None:
        assert trainers(tiny(tmp_path)) == {}

    def test_beside_a_module_at_the_top(self, tmp_path: Path) -> None:
        files = {name.removeprefix("GPT_SoVITS/"): text for name, text in FILES.items() if text is not None}
        for name, text in {
            "module/models.py": "import torch\n",
            "module/commons.py": "import torch\n",
            **files,
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(str(text))
        assert set(trainers(tmp_path).values()) == {"trainers/learn.py", "trainers/helpers.py"}

    def test_a_folder_of_that_name_in_upstreams_module(self, tmp_path: Path) -> None:
        root = tiny(tmp_path, {**FILES, "GPT_SoVITS/module/trainers/learn.py": "import torch\n"})
        places = {path: target for path, (target, _) in collect(open_upstream(str(root))).texts.items()}
        assert places["GPT_SoVITS/module/trainers/learn.py"] == "trainers/learn.py"
        assert places["GPT_SoVITS/learn.py"] == "tpu_trainers/learn.py"

    def test_what_it_wants_beyond_the_networks(self, tmp_path: Path) -> None:
        log = "from torch.utils.tensorboard import SummaryWriter\n"
        root = tiny(tmp_path, {**FILES, "GPT_SoVITS/learn.py": log + LOOP, "GPT_SoVITS/far_away.py": None})
        assert collect(open_upstream(str(root))).needs.trainers == {"GPT_SoVITS/learn.py": ("far_away", "tensorboard")}


class TestPackage:
    def test_it_reads_the_port_and_not_upstream(self, tmp_path: Path) -> None:
        assert run("generate", tiny(tmp_path / "up", FILES), "--out", tmp_path / "out").exit_code == 0
        folder = tmp_path / "out/module/tpu/trainers"
        assert sorted(path.name for path in folder.iterdir()) == ["__init__.py", "helpers.py", "learn.py"]
        text = (folder / "learn.py").read_text()
        assert "from .. import models\n" in text
        assert "from ..commons import double\n" in text

    def test_a_new_one_is_noticed(self, tmp_path: Path) -> None:
        root, out = tiny(tmp_path / "up"), tmp_path / "out"
        assert run("generate", root, "--out", out).exit_code == 0
        tiny(tmp_path / "up", FILES)
        assert run("status", root, out).exit_code == 1
        assert run("generate", root, "--out", out).exit_code == 0
        assert (out / "module/tpu/trainers/learn.py").is_file()
        assert run("status", root, out).exit_code == 0

    def test_rules_of_the_user_reach_it(self, tmp_path: Path) -> None:
        root = tiny(tmp_path / "up", {**FILES, "GPT_SoVITS/learn.py": f"{LOOP}\n\nX = torch.swap_me(1)\n"})
        arguments = ("generate", root, "--out", tmp_path / "out", "--rules", own_rules(tmp_path / "rules"))
        assert run(*arguments).exit_code == 0
        assert "X = torch.swapped(1)" in (tmp_path / "out/module/tpu/trainers/learn.py").read_text()


def test_check_names_packages_that_are_not_here(tmp_path: Path) -> None:
    root = tiny(tmp_path, FILES)
    told = run("check", root).stdout
    assert "GPT_SoVITS/learn.py also imports far_away: not installed here (pip install far-away)" in told
    told = json.loads(run("check", root, "--json").stdout)
    assert told["needs"]["trainers"] == {"GPT_SoVITS/learn.py": ["far_away"]}


SOUNDS = """import ffmpeg
import gradio as gr
import numpy as np


def load(path, rate):
    out, _ = ffmpeg.input(path).output("-", format="f32le", ac=1, ar=rate).run(capture_stdout=True)
    return np.frombuffer(out, np.float32)


def warn(path):
    gr.Warning(path)
"""
WITH_SOUNDS = {
    **FILES,
    "tools/sounds.py": SOUNDS,
    "GPT_SoVITS/module/data.py": "from tools.sounds import load\n\n\ndef read(path):\n    return load(path, 32000)\n",
}


def test_what_reads_sounds_comes_along_without_the_interface(tmp_path: Path) -> None:
    root, out = tiny(tmp_path / "up", WITH_SOUNDS), tmp_path / "out"
    assert run("generate", root, "--out", out).exit_code == 0
    assert "from .tools.sounds import load\n" in (out / "module/tpu/data.py").read_text()
    text = (out / "module/tpu/tools/sounds.py").read_text()
    assert 'ffmpeg = training.import_later("ffmpeg")\n' in text and 'gr = training.import_later("gradio")\n' in text
    assert "out, _ = training.decoded(path, rate)\n" in text and "import numpy as np\n" in text
    assert json.loads((out / "port.json").read_text())["needs"]["third_party"] == ["numpy", "torch"]
    assert run("status", root, out).exit_code == 0


def test_what_rules_that_are_left_out_would_have_spared_is_needed(tmp_path: Path) -> None:
    told = json.loads(run("check", tiny(tmp_path, WITH_SOUNDS), "--json", "--ignore", "PKG003,RUN006").stdout)
    assert told["needs"]["third_party"] == ["ffmpeg", "gradio", "numpy", "torch"]


def test_doctor_says_what_a_trainer_takes_and_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = LOOP.replace("import words\n", "import words\n\n\ndef draw():\n    import far_later\n\n\n")
    root, out = tiny(tmp_path / "up", {**FILES, "GPT_SoVITS/learn.py": loop}), tmp_path / "out"
    assert run("generate", root, "--out", out).exit_code == 0
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    found = json.loads(run("doctor", "--out", out, "--json").stdout)["findings"]
    told = [(f["name"], f["found"], f["advice"]) for f in found if f["name"] in ("training", "ffmpeg")]
    assert told[0] == ("training", "learn.py does not start without far_away", "pip install far-away")
    assert told[1][1].startswith("trainers use far_later where it is installed")
    assert told[1][2] == "pip install far-later"
    assert told[2][0] == "ffmpeg" and told[2][1].startswith("not found") and told[2][2] == "install ffmpeg"


def test_generate_says_how_to_train(tmp_path: Path) -> None:
    told = run("generate", tiny(tmp_path / "up", FILES), "--out", tmp_path / "out").stdout
    assert "python -m module.tpu.trainers.learn -c CONFIG" in told
    told = run("generate", tiny(tmp_path / "b", FILES), "--install").stdout
    checkout = tmp_path / "b"
    assert f"PYTHONPATH={checkout}/GPT_SoVITS:{checkout} python -m module.tpu.trainers.learn -c CONFIG" in told
