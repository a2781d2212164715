"""What is ported, what runs on the host, what is not; and the hazards of what a run reaches."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from porter.hazards.runs.reached import Reached
from porter.inputs.sources import collect
from porter.inputs.sources.scope import in_groups
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from tests.sarif_form import complaints
from tests.test_configuration import refused
from tests.test_real_upstreams import GITHUB, NEWEST
from tests.tiny_upstream import run, run_json, tiny

ROOT = Path(__file__).parent.parent

MODELS = """\
import torch
from torch import nn
from module import layers

pro = {"v2x", "v2y"}


class Voice(nn.Module):
    def __init__(self, size, version="v2"):
        super().__init__()
        self.old = version == "v1"
        self.pro = version in pro
        self.layer = layers.Layer()

    def forward(self, x):
        return self.layer(x).sum().item()  # 16: in training

    def speak(self, x):
        return self.layer(x).mean().item()  # 19: when it speaks


class VoiceB(nn.Module):
    def __init__(self, size, version="v3"):
        super().__init__()

    def forward(self, x: torch.Tensor):
        return x.sum().item()  # 27: in the training of the second one

    def unused(self, x):
        return x.sum().item()  # 30: never


class Judge(nn.Module):
    def forward(self, x):
        return x
"""
LAYERS = """\
from torch import nn


class Layer(nn.Module):
    def forward(self, x):
        return x * x.max().item()  # 6: always
"""
TRAIN = """\
import torch
from module.models import Judge, Voice


def main():
    step(Voice(8), Judge())


def step(net, judge):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for x in range(3):
        optimizer.zero_grad()
        loss = judge(net(x))
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
"""
TRAIN_LORA = """\
import torch
from module.models import VoiceB as Voice
from peft import LoraConfig

net = Voice(8)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for x in range(3):
    optimizer.zero_grad()
    loss = net(x)
    loss.backward()
    optimizer.step()
"""
SPEAK = """\
import torch
from AR.gpt import Gpt
from module.models import Voice, VoiceB


class Talk:
    def load(self, version):
        if version == "v4":
            return VoiceB(8)
        self.gpt = Gpt()
        self.voice = Voice(8)

    def say(self, x: torch.Tensor):
        codes = self.gpt.codes(x)
        print(codes.max().item())  # 15
        return self.voice.speak(codes)
"""
GPT = """\
import torch
from torch import nn


class Gpt(nn.Module):
    def codes(self, x: torch.Tensor):
        return x[x > 0]  # 7: its size is known on the device only

    def training_loss(self, x: torch.Tensor):
        return x.sum().item()  # 10
"""
UPSTREAM = {
    "co/LICENSE": "Tiny License\n",
    "module/__init__.py": "",
    "module/models.py": MODELS,
    "module/layers.py": LAYERS,
    "train.py": TRAIN,
    "train_lora.py": TRAIN_LORA,
    "talk/speak.py": SPEAK,
    "web.py": "import torch\nfrom talk.speak import Talk\n",
    "AR/__init__.py": "",
    "AR/gpt.py": GPT,
    "gpt_train.py": "import torch\nfrom lightning import Trainer\nfrom AR.gpt import Gpt\n\nGpt().training_loss(1)\n",
    "prepare/1-sounds.py": "import torch\nfrom ears.hub import Hub\n\ntorch.save(Hub()(1), 'x')\n",
    "prepare/2-codes.py": "import torch\nfrom module.models import Voice\n\nVoice(8).speak(torch.ones(2))\n",
    "ears/hub.py": "import sys\nfrom torch import nn\nsys.path.append('inner')\nimport deep\n\n\nclass Hub(nn.Module):\n    pass\n",
    "ears/inner/deep.py": "import torch\n",
    "listen.py": "import torch\nfrom ears.hub import Hub\n",
    "export.py": "import torch\nfrom module.models import Voice\n\ntorch.jit.script(Voice(8))\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in UPSTREAM.items():
        path = tmp_path / "co/GPT_SoVITS" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def residual(*arguments: str) -> set[tuple[str, int, str]]:
    """File, line and status of the hazards that count, of `check --json`."""
    told = json.loads(run("check", "co", "--json", *arguments).stdout)
    return {
        (h["file"].removeprefix("GPT_SoVITS/"), h["line"], h["status"])
        for h in told["hazards"]["list"]
        if h["status"] in ("residual", "not ported")
    }


class TestScope:
    """What each file of upstream is to the port."""

    def test_all_outputs_tell_the_same(self, home: Path) -> None:
        told = run_json("generate", "co")["scope"]
        assert told == json.loads((home / "generated/port.json").read_text())["scope"]
        assert told == json.loads(run("check", "co", "--json").stdout)["scope"]
        assert [(n["name"], n["versions"]) for n in told["networks"]] == [
            ("Judge", ["v1", "v2", "v2x", "v2y"]),  # as what is trained with it
            ("Voice", ["v1", "v2", "v2x", "v2y"]),
            ("VoiceB", ["v3", "v4"]),  # its own default, and what it is built for
        ]
        assert [(t["file"], t["networks"], t["versions"]) for t in told["trainers"]] == [
            ("GPT_SoVITS/train.py", ["Judge", "Voice"], ["v1", "v2", "v2x", "v2y"]),
            ("GPT_SoVITS/train_lora.py", ["VoiceB"], ["v3", "v4", "LoRA"]),
        ]
        host = ("ears/hub.py", "ears/inner/deep.py", "listen.py", "prepare/1-sounds.py", "prepare/2-codes.py")
        assert told["host"] == [f"GPT_SoVITS/{name}" for name in host]
        left = ("AR/gpt.py", "export.py", "gpt_train.py", "talk/speak.py", "web.py")
        assert told["not_ported"] == [f"GPT_SoVITS/{name}" for name in left]
        assert told["training"] == [f"GPT_SoVITS/{name}" for name in ("gpt_train.py", "train.py", "train_lora.py")]
        assert told["inference"] == ["GPT_SoVITS/talk/speak.py", "GPT_SoVITS/web.py"]

    @pytest.mark.parametrize("command", ["generate", "check"])
    def test_it_is_told_first(self, home: Path, command: str) -> None:
        lines = run(command, "co").stdout.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("Ported: "))
        assert first <= 2
        assert lines[first : first + 3] == [
            "Ported: Judge (v1, v2, v2x, v2y), Voice (v1, v2, v2x, v2y), VoiceB (v3, v4), train.py (v1, v2, v2x, v2y), "
            "train_lora.py (v3, v4, LoRA)",
            "On the host, as upstream has it: ears (2 files), prepare (2 files), listen.py",
            "Not ported, and not looked at, though it computes with torch: AR (1 file), talk (1 file), export.py, "
            "gpt_train.py, web.py",
        ]

    def test_hazards_are_said_to_be_of_what_is_ported(self, home: Path) -> None:
        for _ in range(2):  # written, and up to date
            told = [
                line for line in run("generate", "co").stdout.splitlines() if "residual" in line and "fixed" in line
            ]
            assert len(told) == 1 and told[0].endswith("5 residual, of what is ported")

    def test_it_grows_with_the_port(self, home: Path) -> None:
        place = home / "co/GPT_SoVITS/module/models.py"
        place.write_text(
            MODELS.replace("from module import layers", "from AR.gpt import Gpt\nfrom module import layers")
        )
        told = run_json("generate", "co")["scope"]
        assert "GPT_SoVITS/AR/gpt.py" not in told["not_ported"]
        assert ("Gpt", "GPT_SoVITS/AR/gpt.py") in {(n["name"], n["file"]) for n in told["networks"]}

    def test_a_change_in_what_is_not_ported_is_seen(self, home: Path) -> None:
        run_json("generate", "co")
        assert not run_json("generate", "co")["written"]
        (home / "co/GPT_SoVITS/web.py").write_text("import torch\n")
        assert run_json("generate", "co")["scope"]["inference"] == ["GPT_SoVITS/talk/speak.py"]

    def test_what_is_no_python_stays_upstream_s(self, home: Path) -> None:
        (home / "co/GPT_SoVITS/AR/gpt.py").write_text("import torch\nclass (:\n")
        assert run("generate", "co").exit_code == 0

    def test_readme_says_what_the_sources_say(self) -> None:
        if cached_upstream(GITHUB) is None:
            pytest.skip(f"no copy of {GITHUB} in the cache of upstreams; see CONTRIBUTING.md")
        sources = collect(open_upstream(f"{GITHUB}@{NEWEST}", offline=True))
        readme = (ROOT / "README.md").read_text("utf-8").partition("## Try it")[0]
        rows = {
            kind: " ".join(line for line in readme.splitlines() if line.endswith(f"| {kind} |"))
            for kind in ("ported", "on the host", "**not ported**")
        }
        scope = sources.scope
        for network in scope.networks:
            assert f"`{network.name}`" in rows["ported"]
            assert all(re.search(rf"\b{version}\b", rows["ported"]) for version in network.versions)
        for trainer in scope.trainers:
            assert f"`{trainer.file.rpartition('/')[2]}`" in rows["ported"]
            assert all(re.search(rf"\b{version}\b", rows["ported"]) for version in trainer.versions)
        for kind, paths in (("on the host", scope.host), ("**not ported**", scope.not_ported)):
            for group in in_groups(paths, sources.prefix):
                name = group.partition(" ")[0]
                assert f"`{name}`" in rows[kind] or f"`{name}/`" in rows[kind], f"{name}: {rows[kind]}"


class TestRuns:
    """`check --scope`: the hazards of what a run reaches, ported or not."""

    def test_what_is_ported_is_the_default(self, home: Path) -> None:
        ported = {("module/layers.py", 6), ("module/models.py", 16), ("module/models.py", 19)}
        ported |= {("module/models.py", 27), ("module/models.py", 30)}
        assert residual() == {(*place, "residual") for place in ported}
        assert residual("--scope", "ported") == residual()
        assert run("check", "co").stdout.splitlines()[-1].endswith("5 residual, of what is ported: 5 files")

    def test_inference(self, home: Path) -> None:
        assert residual("--scope", "inference") == {
            ("module/layers.py", 6, "residual"),
            ("module/models.py", 19, "residual"),
            ("talk/speak.py", 15, "not ported"),
            ("AR/gpt.py", 7, "not ported"),
        }
        told = json.loads(run("check", "co", "--scope", "inference", "--json").stdout)
        assert told["checked"] == {
            "scope": "inference",
            "start": ["GPT_SoVITS/talk/speak.py", "GPT_SoVITS/web.py"],
            "ported": [f"GPT_SoVITS/module/{name}.py" for name in ("__init__", "layers", "models")],
            "host": [],
            "not_ported": [f"GPT_SoVITS/{name}" for name in ("AR/gpt.py", "talk/speak.py", "web.py")],
        }
        assert told["hazards"]["not_ported"] == 2

    def test_training(self, home: Path) -> None:
        assert residual("--scope", "training") == {
            ("module/layers.py", 6, "residual"),
            ("module/models.py", 16, "residual"),
            ("module/models.py", 27, "residual"),
            ("AR/gpt.py", 10, "not ported"),
        }

    def test_all(self, home: Path) -> None:
        found = residual("--scope", "all")
        assert found >= residual() | residual("--scope", "inference") | residual("--scope", "training")
        assert ("export.py", 4, "not ported") in found
        assert not any(file.startswith(("ears", "prepare")) for file, _, _ in found)

    def test_what_is_not_ported_fails_the_check(self, home: Path) -> None:
        for name, text in (("models.py", MODELS), ("layers.py", LAYERS)):
            (home / "co/GPT_SoVITS/module" / name).write_text(text.replace(".item()", ""))
        assert run("check", "co").exit_code == 0
        result = run("check", "co", "--scope", "inference")
        assert result.exit_code == 1
        last = result.stdout.splitlines()[-1]
        assert "0 residual, 2 not ported, of what inference reaches from GPT_SoVITS/talk/speak.py" in last
        assert "3 files ported, 3 not" in last
        assert "GPT_SoVITS/AR/gpt.py:7" in result.stdout

    @pytest.mark.parametrize("scope", ["ported", "inference"])
    def test_sarif_says_the_scope(self, home: Path, scope: str) -> None:
        log = json.loads(run("check", "co", "--scope", scope, "--sarif").stdout)
        assert complaints(log) == []
        (done,) = log["runs"]
        assert done["properties"]["scope"] == scope
        ours = {"ported": "sovits-port/check/", "inference": "sovits-port/check/inference/"}
        assert done["automationDetails"]["id"] == ours[scope]
        places = {
            (place["artifactLocation"]["uri"], place["region"]["startLine"])
            for result in done["results"]
            for place in [result["locations"][0]["physicalLocation"]]
            if result["level"] == "error"
        }
        assert (("GPT_SoVITS/AR/gpt.py", 7) in places) == (scope == "inference")

    def test_without_such_a_run_it_says_so(self, home: Path) -> None:
        tiny(home / "bare")
        told = refused("check", "bare", "--scope", "training")
        assert "holds no file that trains" in told and "--scope all" in told
        assert run("check", "bare", "--scope", "all").exit_code in (0, 1)


NETWORKS = """
from torch import nn


class Inner(nn.Module):
    def forward(self, x):
        return x  # 7


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, x):
        return self.inner(x)  # 16

    def other(self, x):
        return self.inner(x)  # 19


class Spare(nn.Module):
    def forward(self, x):
        return x  # 24
"""

USES = {
    "called": ("net = Outer()\nnet(1)", {7, 16}),
    "only asked for another method": ("net = Outer()\nnet.other(1)", {7, 19}),
    "called by forward itself": ("net = Outer()\nnet.forward(1)", {7, 16}),
    "moved first": ("net = Outer()\nthere = net.to('cpu').eval()\nthere(1)", {7, 16}),
    "wrapped": ("net = wrap(Outer())\nnet(1)", {7, 16}),
    "handed on": ("def go(model):\n    model(1)\n\n\ngo(Outer())", {7, 16}),
    "handed on by name": ("def go(model):\n    model(1)\n\n\ngo(model=Outer())", {7, 16}),
    "in a list": ("nets = [Outer(), 1]\nfor net in nets:\n    net(1)", {7, 16}),
    "made by a function": ("def make():\n    return Outer()\n\n\nnet = make()\nnet(1)", {7, 16}),
    "kept in an object": (
        "class Box:\n    def __init__(self):\n        self.net = Outer()\n\n    def run(self):\n"
        "        self.net(1)\n\n\nBox().run()",
        {7, 16},
    ),
    "by another name": ("from nets import Outer as Inside\n\nnet = Inside()\nnet(1)", {7, 16}),
    "in a function that nobody calls": ("def go():\n    Outer()(1)", set()),
    "what another method gives is no network": ("net = Outer()\ny = net.other(1)\ny(1)", {7, 19}),
    "called where it is made": ("Outer()(1)", {7, 16}),
    "derived": ("class Mine(Outer):\n    pass\n\n\nnet = Mine()\nnet(1)", {7, 16}),
    "by getattr": ("net = Outer()\ngetattr(net, 'other')(1)", {7, 19}),
}


@pytest.mark.parametrize("name", USES)
def test_what_a_script_reaches(name: str) -> None:
    script, lines = USES[name]
    trees = {"nets.py": ast.parse(NETWORKS), "run.py": ast.parse(dedent(script))}
    reached = Reached(trees, {"run.py"}, whole=False)
    assert {line for line in (7, 16, 19, 24) if reached.covers("nets.py", line)} == lines
