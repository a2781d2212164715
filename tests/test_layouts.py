"""Upstreams whose sources do not lie in one folder called `module`: generated as they are, imported and run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.generate import Settings, generate
from porter.inputs.sources import Layout, collect, find_layout
from porter.inputs.upstream import open_upstream
from porter.package.store import Place
from tests import warm
from tests.test_vits_shaped import ALIGN
from tests.tiny_upstream import run, write_tree

HALF = "from torch.nn import functional as F\n\n\ndef half(x):\n    return F.relu(x) / 2\n"
NET = """import torch
from torch import nn
{line}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return {call}(self.layer(x))
"""
LOOP = """import torch
{line}


def main(batches):
    net = Net()
    for x in batches:
        net(x).sum().backward()
"""


def net(line: str, call: str) -> str:
    return NET.format(line=line, call=call)


TREES: Mapping[str, tuple[Mapping[str, str], str, str]] = {  # files, upstream's own import name, the port's
    "flat": (
        {
            "networks.py": net("import shapes", "shapes.half"),
            "shapes.py": HALF,
            "learn.py": LOOP.format(line="from networks import Net"),
        },
        "networks",
        "networks",
    ),
    "flat in a folder": (
        {"code/networks.py": net("from shapes import half", "half"), "code/shapes.py": HALF, "tools/x.py": "a = 1\n"},
        "networks",
        "networks",
    ),
    "beside a package": (
        {"networks.py": net("import parts.shapes", "parts.shapes.half"), "parts/shapes.py": HALF},
        "networks",
        "networks",
    ),
    "a package of another name": (
        {
            "voice/networks.py": net("from . import shapes", "shapes.half"),
            "voice/shapes.py": HALF,
            "learning/loop.py": LOOP.format(line="from voice.networks import Net\nfrom learning.keep import keep"),
            "learning/keep.py": "import torch\n\n\ndef keep(net):\n    torch.save(net.state_dict(), 'x')\n",
        },
        "voice.networks",
        "networks",
    ),
    "a package of a trainer that is imported from inside": (
        {
            "all/voice/networks.py": net("from ..shapes.halves import half", "half"),
            "all/shapes/halves.py": "from .number import TWO\nfrom torch.nn import functional as F\n\n\ndef half(x):\n"
            "    return F.relu(x) / TWO\n",
            "all/shapes/number.py": "TWO = 2\n",
            "all/learn.py": LOOP.format(line="from .voice.networks import Net"),
        },
        "all.voice.networks",
        "networks",
    ),
    "helpers of a trainer that are called as files beside the main folder": (
        {
            "all/lib/voice/networks.py": net("from all.lib.voice import shapes", "shapes.half"),
            "all/lib/voice/shapes.py": HALF,
            "all/lib/helpers.py": "import torch\n\nKEPT = torch.zeros(1)\n",
            "all/train/learn.py": LOOP.format(line="from all.lib.voice.networks import Net\nfrom helpers import keep"),
            "all/train/helpers.py": "import torch\n\n\ndef keep(net):\n    torch.save(net.state_dict(), 'x')\n",
        },
        "all.lib.voice.networks",
        "networks",
    ),
    "a file that is called as a package which it imports": (
        {
            "voice/networks.py": net("from voice.shapes.torchgen import half", "half"),
            "voice/shapes/__init__.py": "",
            "voice/shapes/torchgen.py": f"import torchgen.model\n{HALF}",
            "learn.py": LOOP.format(line="from voice.networks import Net\nfrom voice.shapes import torchgen"),
        },
        "voice.networks",
        "networks",
    ),
    "a module beside a folder of its name": (
        {
            "module/networks.py": net("from module.shapes import half", "half"),
            "module/shapes.py": HALF,
            "module/shapes/more/other.py": "import torch\n",
        },
        "module.networks",
        "networks",
    ),
    "the runtime's names": (
        {
            "module/networks.py": net("from module import ops, training, utils", "ops.half"),
            "module/ops.py": HALF,
            "module/training.py": "import torch\n\nZERO = torch.zeros(1)\n",
            "module/utils.py": "import torch\n\n\ndef grown(x):\n    return torch.nn.functional.interpolate(x, 2)\n",
            "module/trainers/__init__.py": "import torch\n",
            "learn.py": LOOP.format(line="from module.networks import Net"),
        },
        "module.networks",
        "networks",
    ),
}
RUN = (
    "import torch; from {} import Net; torch.manual_seed(0);"
    "print(Net()(torch.linspace(-1, 1, 6).reshape(2, 3)).tolist())"
)


def python(code: str, *search: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "SOVITS_PORT_DEVICE": "cpu"}
    done = warm.run(code, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", TREES)
def test_the_port_computes_what_upstream_does(name: str, tmp_path: Path) -> None:
    files, theirs, ours = TREES[name]
    root, out = write_tree(tmp_path / "up", files), tmp_path / "out"
    assert run("generate", root, "--out", out).exit_code in (0, 1)
    wanted = python(RUN.format(theirs), root, root / "code")
    # Nothing of upstream is on the path: the package is closed.
    assert python(RUN.format(f"module.tpu.{ours}"), out) == wanted
    manifest = json.loads((out / "port.json").read_text())
    trainers = [path for path in files if "learn" in path and "loop" not in path and path.endswith(".py")]
    if name not in ("a package of another name",):
        assert set(manifest["needs"]["trainers"]) == {path for path in trainers if "learn.py" in path}
    else:
        assert set(manifest["needs"]["trainers"]) == {"learning/loop.py"}
        assert (out / "module/tpu/learning/keep.py").is_file()
    assert run("status", root, out).exit_code == 0


def test_a_file_that_stays_upstreams_is_not_looked_for_in_the_port(tmp_path: Path) -> None:
    files = {
        "voice/nets/networks.py": net("from voice.text.halves import half", "half"),
        "voice/text/__init__.py": "import torch\n",
        "voice/text/halves.py": f"from voice.text import names\n{HALF}\nNAME = names.NAME\n",
        "voice/text/names.py": "NAME = 'x'\n",
        "learn.py": LOOP.format(line="from voice.nets.networks import Net"),
    }
    root, out = write_tree(tmp_path / "up", files), tmp_path / "out"
    assert run("generate", root, "--out", out).exit_code in (0, 1)
    assert not list(out.rglob("names.py"))
    wanted = python(RUN.format("voice.nets.networks"), root)
    assert python(RUN.format("module.tpu.networks"), out, root) == wanted


def test_names_of_the_hand_made_port_where_upstream_has_its_own_utils(tmp_path: Path) -> None:
    root, out = write_tree(tmp_path / "up", TREES["the runtime's names"][0]), tmp_path / "out"
    assert run("generate", root, "--out", out).exit_code == 0
    code = "from module.tpu.utils import get_xla_device, grown, mark_step; mark_step(); print(get_xla_device())"
    assert python(code, out) == "cpu\n"
    assert (out / "module/tpu/tpu_trainers/learn.py").is_file()


class TestChoice:
    BIG = net("from .parts import Part", "Part()")
    FILES: Mapping[str, str] = {
        "a/networks.py": BIG,
        "a/parts.py": "from torch import nn\n\n\nclass Part(nn.Module):\n    def forward(self, x):\n        return x\n",
        "b/networks.py": NET.format(line="", call="").replace("class Net", "class Other"),
    }

    def test_the_network_with_most_parts_is_told(self, tmp_path: Path) -> None:
        root = write_tree(tmp_path / "up", self.FILES)
        told = run("generate", root, "--out", tmp_path / "out").stderr
        assert "a is the main folder of 2 with networks: it holds Net, of 2 network classes the largest" in told
        assert "--sources" in told

    def test_what_is_trained_comes_first(self, tmp_path: Path) -> None:
        files = {**self.FILES, "learn.py": LOOP.format(line="from b.networks import Other as Net")}
        found = find_layout(open_upstream(str(write_tree(tmp_path, files))))
        assert (found.root, found.flat) == ("b", False)

    def test_another_folder_is_asked_for_and_kept(self, tmp_path: Path) -> None:
        root, out = write_tree(tmp_path / "up", self.FILES), tmp_path / "out"
        assert run("generate", root, "--out", out, "--sources", "b", "--sources", "./a/").exit_code == 0
        manifest = json.loads((out / "port.json").read_text())
        assert manifest["options"]["sources"] == ["b", "./a/"]
        assert manifest["upstream"]["module"] == "b"
        assert {r["upstream"] for r in manifest["files"].values() if r["upstream"]} == set(self.FILES)
        assert run("status", root, out).exit_code == 0
        assert run("generate", root, "--out", out).exit_code == 0
        assert json.loads((out / "port.json").read_text())["upstream"]["module"] == "a"

    @pytest.mark.parametrize("asked", ["gone", "../up", "/etc"])
    def test_a_folder_that_cannot_be(self, tmp_path: Path, asked: str) -> None:
        with pytest.raises(PortError, match="--sources"):
            find_layout(open_upstream(str(write_tree(tmp_path, self.FILES))), [asked])

    def test_two_that_are_alike(self, tmp_path: Path) -> None:
        files = {"a/x.py": NET.format(line="", call=""), "b/y.py": NET.format(line="", call="")}
        with pytest.raises(PortError, match=r"\(a, b\); --sources DIR"):
            find_layout(open_upstream(str(write_tree(tmp_path, files))))

    def test_a_copy_further_down_is_none(self, tmp_path: Path) -> None:
        text = NET.format(line="", call="")
        root = write_tree(tmp_path / "up", {"nets/x.py": text, "tools/nets/x.py": f"# changed\n{text}"})
        done = run("generate", root, "--out", tmp_path / "out")
        assert done.exit_code == 0
        assert "nets is the main folder of 2" in done.stderr
        assert "nearer to the top than tools/nets; --sources says otherwise" in done.stderr
        named = {"nets/x.py": text, "tools/nets/x.py": text.replace("class Net", "class Other")}
        with pytest.raises(PortError, match=r"\(nets, tools/nets\); --sources DIR"):
            find_layout(open_upstream(str(write_tree(tmp_path / "named", named))))

    def test_a_configuration_says_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = write_tree(tmp_path / "up", self.FILES)
        (tmp_path / "sovits-port.toml").write_text(f'upstream = "{root}"\nsources = ["b"]\n')
        monkeypatch.chdir(tmp_path)
        assert run("generate", "--out", tmp_path / "out").exit_code == 0
        assert json.loads((tmp_path / "out/port.json").read_text())["upstream"]["module"] == "b"

    def test_a_port_in_the_tree_is_none_of_its_sources(self, tmp_path: Path) -> None:
        root = write_tree(tmp_path / "up", TREES["flat"][0])
        assert run("generate", root, "--out", root / "generated").exit_code == 0
        assert run("generate", root, "--install").exit_code == 0
        assert find_layout(open_upstream(str(root))) == Layout("", flat=True)
        assert run("status", root, root / "generated").exit_code == 0


class TestOtherFrameworks:
    CELL = "import mindspore.nn as nn\n\n\nclass Net(nn.Cell):\n    pass\n"

    def test_no_torch_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(PortError, match="is written for MindSpore, and only PyTorch"):
            collect(open_upstream(str(write_tree(tmp_path, {"module/models.py": self.CELL}))))

    def test_some_torch_is_left_of_the_original(self, tmp_path: Path) -> None:
        files = {"module/models.py": self.CELL, "module/helpers.py": HALF, "module/losses.py": HALF}
        with pytest.raises(PortError, match="is written for MindSpore"):
            collect(open_upstream(str(write_tree(tmp_path, files))))

    def test_an_optional_second_engine_is_none(self, tmp_path: Path) -> None:
        files = {"module/models.py": net("", ""), "fast/engine.py": self.CELL, "module/x.py": "import jax\n"}
        assert collect(open_upstream(str(write_tree(tmp_path, files)))).module_root == "module"


def test_files_that_are_left_out_are_named(tmp_path: Path) -> None:
    files = {
        **TREES["a package of another name"][0],
        "speak.py": net("from voice.networks import Net as Inner", "Inner()"),
        "unrelated.py": net("", ""),
        "show.py": "import torch\nfrom voice.networks import Net\n",
    }
    root = write_tree(tmp_path / "up", files)
    told = run("generate", root, "--out", tmp_path / "out", "--sources", "voice").stdout
    line = next(line for line in told.splitlines() if line.startswith("Of that"))
    assert line.endswith("imports what is ported: speak.py")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from .gone import x\n", r"\.gone"),
        ("import elsewhere.gone\nfrom elsewhere import gone\n", ""),
    ],
)
def test_an_import_that_would_find_nothing(tmp_path: Path, text: str, told: str) -> None:
    files = {"module/models.py": net("from far.net import Far", "Far()"), "far/net.py": f"{net('', '')}\n\n{text}"}
    files["far/net.py"] = files["far/net.py"].replace("class Net", "class Far")
    done = run("generate", write_tree(tmp_path / "up", files), "--out", tmp_path / "out")
    assert (done.exit_code == 2) == bool(told)
    if told:
        assert "gone" in done.stderr
        assert not (tmp_path / "out").exists()


def test_an_extension_that_is_not_built_yet_is_not_missing(tmp_path: Path) -> None:
    text = ALIGN.replace(".loops", ".align.core").replace("maximum_path_loops", "maximum_path_c")
    files = {
        "voice/nets/networks.py": net("from .align import maximum_path", "nn.Identity()"),
        "voice/nets/align/__init__.py": text,
        "voice/nets/align/core.pyx": "",
    }
    out = tmp_path / "out"
    assert run("generate", write_tree(tmp_path / "up", files), "--out", out).exit_code == 0
    assert "ops.maximum_path(scores, mask)" in (out / "module/tpu/align/__init__.py").read_text()
    del files["voice/nets/align/core.pyx"]
    assert "align.core in line 3" in run("generate", write_tree(tmp_path / "lacking", files), "--out", out).stderr


def test_what_nothing_reaches_of_flat_sources_is_waived(tmp_path: Path) -> None:
    helpers = (
        "import torch\nimport webpages\n\n\ndef half(x):\n    return torch.relu(x) / 2\n\n\n"
        "def shown(x):\n    webpages.show(torch.nonzero(x).tolist())\n\n\n"
        "class Kept:\n    def read(self, x):\n        return torch.nonzero(x).tolist()\n\n\nkept = Kept()\n"
    )
    files = {
        "networks.py": net("import utils", "utils.half"),
        "utils.py": helpers,
        "learn.py": LOOP.format(line="from networks import Net"),
    }
    write_tree(tmp_path, files)
    snapshot = open_upstream(str(tmp_path))
    assert collect(snapshot).arrangement.main == {"networks.py"}
    manifest = generate(snapshot, Place(tmp_path / "out"), Settings()).manifest
    found = [h for h in manifest["hazards"]["list"] if h["file"] == "utils.py"]
    assert {(h["line"], h["status"]) for h in found} == {(10, "waived"), (15, "waived")}
    assert 'webpages = training.import_later("webpages")' in (tmp_path / "out/module/tpu/utils.py").read_text()


def test_what_to_import_is_named_as_it_is_emitted(tmp_path: Path) -> None:
    files = {"networks.py": net("import shapes", "shapes.half"), "shapes.py": HALF}
    write_tree(tmp_path / "tree", {**files, "learn.py": LOOP.format(line="from networks import Net")})
    done = run("generate", tmp_path / "tree", "--out", tmp_path / "out")
    assert "and import module.tpu.networks." in done.stdout
