from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.inputs.sources import Sources, collect
from porter.inputs.upstream import open_upstream
from tests.tiny_upstream import UPSTREAM, tiny, write_tree

NET = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"


def sources(root: Path, files: Mapping[str, str | bytes]) -> Sources:
    return collect(open_upstream(str(write_tree(root, files))))


def refused(root: Path, files: Mapping[str, str | bytes]) -> str:
    with pytest.raises(PortError) as error:
        sources(root, files)
    assert "\n" not in str(error.value)
    return str(error.value)


def places(found: Sources) -> dict[str, str]:
    return {path: target for path, (target, _) in found.texts.items()}


class TestRoot:
    def test_upstreams_own_folder(self, tmp_path: Path) -> None:
        found = collect(open_upstream(str(tiny(tmp_path))))
        assert (found.module_root, found.prefix) == ("GPT_SoVITS/module", "GPT_SoVITS")
        assert places(found) == {
            "GPT_SoVITS/module/__init__.py": "__init__.py",
            "GPT_SoVITS/module/commons.py": "commons.py",
            "GPT_SoVITS/module/models.py": "models.py",
        }

    def test_upstreams_own_folder_wins(self, tmp_path: Path) -> None:
        found = collect(open_upstream(str(tiny(tmp_path, {"module/models.py": NET, "x/module/models.py": NET}))))
        assert found.module_root == "GPT_SoVITS/module"

    def test_at_the_top(self, tmp_path: Path) -> None:
        found = sources(tmp_path, {"module/models.py": NET})
        assert (found.module_root, found.prefix) == ("module", "")

    def test_in_a_package(self, tmp_path: Path) -> None:
        files = {
            "gpt_sovits/module/models.py": f"from gpt_sovits.module import commons\nimport module.a\n{NET}",
            "gpt_sovits/module/commons.py": "from gpt_sovits.text import x\n",
            "gpt_sovits/module/a.py": "",
            "gpt_sovits/text.py": "x = 1\n",
            "gpt_sovits/module/__init__.py": "",
        }
        found = sources(tmp_path, files)
        assert found.module_root == "gpt_sovits/module"
        assert found.needs.upstream == ("gpt_sovits.text",)

    def test_several(self, tmp_path: Path) -> None:
        told = refused(tmp_path, {"a/module/models.py": NET, "b/module/models.py": NET})
        assert "a/module, b/module" in told

    def test_a_folder_of_that_name_without_networks_is_none(self, tmp_path: Path) -> None:
        found = sources(tmp_path, {"a/module/models.py": NET, "b/module/x.py": "y = 1\n"})
        assert found.module_root == "a/module"

    @pytest.mark.parametrize(
        ("path", "root", "prefix"),
        [("models.py", "", ""), ("a/b/module/models.py", "a/b/module", "a/b"), ("modules/m.py", "modules", "")],
    )
    def test_elsewhere(self, tmp_path: Path, path: str, root: str, prefix: str) -> None:
        found = sources(tmp_path, {path: NET})
        assert (found.module_root, found.prefix) == (root, prefix)
        assert places(found) == {path: path.rpartition("/")[2]}

    def test_none(self, tmp_path: Path) -> None:
        assert "holds no PyTorch network" in refused(tmp_path, {"models.py": "import torch\n"})


class TestScope:
    def test_onnx_exporters_and_installed_ports_are_left_out(self, tmp_path: Path) -> None:
        added: dict[str, str | bytes | None] = {
            "GPT_SoVITS/module/tpu/models.py": NET,
            "GPT_SoVITS/module/sub/deep.py": NET,
            "GPT_SoVITS/module/sub/deep_onnx.py": NET,
        }
        found = collect(open_upstream(str(tiny(tmp_path, added))))
        assert sorted(places(found).values()) == ["__init__.py", "commons.py", "models.py", "sub/deep.py"]

    def test_an_onnx_file_that_others_import_is_ported(self, tmp_path: Path) -> None:
        found = sources(tmp_path, {"module/a.py": f"from .b_onnx import f\n{NET}", "module/b_onnx.py": "def f(): 0\n"})
        assert "module/b_onnx.py" in found.texts

    def test_networks_elsewhere_come_along_pure_python_does_not(self, tmp_path: Path) -> None:
        files = {
            "P/module/__init__.py": "",
            "P/module/models.py": f"from f5.model import Net\nfrom tools.u import load\nimport utils\n{NET}",
            "P/f5/model/__init__.py": "from P.f5.model.deep.net import Net\n",
            "P/f5/model/deep/net.py": f"from ..parts import part\nfrom module.models import x\n{NET}",
            "P/f5/model/parts.py": "import torch\n\n\ndef part(): ...\n",
            "P/f5/model/unused.py": NET,
            "P/f5/words.py": "w = 1\n",
            "P/utils.py": "import P.far\n",
            "P/far.py": NET,
            "tools/u.py": "from tools.v import v\nimport ffmpeg\n",
            "tools/v.py": "v = 1\n",
        }
        found = sources(tmp_path, files)
        assert {t for t in places(found).values() if t.startswith("f5")} == {
            "f5/model/__init__.py",
            "f5/model/deep/net.py",
            "f5/model/parts.py",
        }
        assert found.needs.upstream == ("tools.u", "utils")
        assert found.needs.third_party == ("ffmpeg", "torch")
        assert set(found.consulted) == {"P/far.py", "P/utils.py", "tools/u.py", "tools/v.py"}

    def test_the_gpt_comes_along_and_what_only_trains_it_does_not(self, tmp_path: Path) -> None:
        files = {
            **UPSTREAM,
            "GPT_SoVITS/AR/__init__.py": "",
            "GPT_SoVITS/AR/models/__init__.py": "",
            "GPT_SoVITS/AR/models/t2s_model.py": NET + "from AR.modules.embedding import Net as Other\n",
            "GPT_SoVITS/AR/models/t2s_model_cudagraph.py": NET,
            "GPT_SoVITS/AR/models/t2s_lightning_module.py": "import torch\nfrom AR.models.t2s_model import Net\n",
            "GPT_SoVITS/AR/modules/embedding.py": NET,
            "GPT_SoVITS/AR/modules/optim.py": "import torch\n",
        }
        found = sources(tmp_path, files)
        carried = {place for place in places(found).values() if place.startswith("AR/")}
        assert carried == {"AR/models/t2s_model.py", "AR/modules/embedding.py"}
        left = {path.rpartition("/")[2] for path in found.scope.not_ported if "/AR/" in path}
        assert left == {"t2s_model_cudagraph.py", "t2s_lightning_module.py", "optim.py"}

    def test_two_files_of_one_place(self, tmp_path: Path) -> None:
        files = {"module/a.py": f"from f5.n import Net\n{NET}", "f5/n.py": NET, "module/f5/n.py": NET}
        found = places(sources(tmp_path, files))
        assert (found["module/f5/n.py"], found["f5/n.py"]) == ("f5/n.py", "around/f5/n.py")

    @pytest.mark.parametrize(
        "line",
        ["from module.gone import x", "import module.gone", "from .gone import x", "from module import gone",
         "from . import gone", "def f():\n    from module.gone import x"],
    )  # fmt: skip
    def test_a_missing_file(self, tmp_path: Path, line: str) -> None:
        files = {"module/__init__.py": "", "module/a.py": f"{line}\n{NET}"}
        told = refused(tmp_path, files)
        assert "module/a.py" in told
        assert "gone" in told

    @pytest.mark.parametrize(
        "text",
        ["try:\n    from module.gone import x\nexcept ImportError:\n    x = None\n",
         "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from module.gone import x\n",
         "from module import bound\n", "from module.tpu.x import y\n", "from module import *\n"],
    )  # fmt: skip
    def test_nothing_is_missing(self, tmp_path: Path, text: str) -> None:
        sources(tmp_path, {"module/__init__.py": "bound = 1\n", "module/a.py": text + NET})

    def test_needs(self, tmp_path: Path) -> None:
        text = "import os\nimport numpy.linalg as l\nimport distutils\n"
        optional = "try:\n    import fast\nexcept Exception:\n    0\n"
        found = sources(tmp_path, {"module/a.py": text + optional + NET})
        assert found.needs.third_party == ("numpy", "torch")
        assert found.needs.optional == ("fast",)

    def test_needs_of_what_stays_upstreams_and_is_imported_with_it(self, tmp_path: Path) -> None:
        files = {
            "module/a.py": f"from tools.u import *\n{NET}",
            "tools/u.py": "import pandas\nfrom other import v\n\n\ndef f():\n    import scipy\n    import late\n",
            "other/__init__.py": "import yaml\nfrom .v import w\ntry:\n    import fast\nexcept ImportError:\n    fast = None\n",
            "other/v.py": "import other.u\nimport attr\n",
            "other/u.py": "",
            "late.py": "import click\n",
        }
        assert sources(tmp_path, files).needs.third_party == ("attr", "pandas", "torch", "yaml")

    def test_licence(self, tmp_path: Path) -> None:
        assert collect(open_upstream(str(tiny(tmp_path / "a")))).licence == "Tiny License"
        assert sources(tmp_path / "b", {"module/a.py": NET}).licence == ""

    def test_broken_python_outside_stays_upstreams(self, tmp_path: Path) -> None:
        found = sources(tmp_path, {"module/a.py": f"import old\n{NET}", "old.py": "print 'hello'\n"})
        assert found.needs.upstream == ("old",)


UTILS = """import gradio as gr
import numpy as np
import pandas as pd


def load(path):
    return np.load(clean(path))


def clean(path):
    return path.strip()


def warn(path):
    gr.Warning(path)


def table(path, kind=pd.DataFrame):
    return kind(path)
"""


class TestCarried:
    """A file whose functions are taken, and whose import wants packages that these do not need."""

    def found(self, tmp_path: Path, text: str, line: str = "from tools.u import load") -> Sources:
        return sources(tmp_path, {"module/a.py": f"{line}\n{NET}", "tools/u.py": text})

    def test_it_is_ported(self, tmp_path: Path) -> None:
        found = self.found(tmp_path, UTILS)
        assert places(found)["tools/u.py"] == "tools/u.py"
        assert found.needs.outside == {"tools/u.py": ("gradio", "numpy", "pandas")}
        assert found.needs.third_party == ("torch",)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            (
                UTILS.replace("import gradio as gr\n", "").replace("    gr.Warning(path)", "    0"),
                "from tools.u import load",
            ),
            (UTILS, "from tools.u import load, table, warn"),
            (UTILS, "from tools.u import *"),
            (UTILS, "import tools.u"),
            (UTILS.replace("gr.Warning(path)", "eval(path)"), "from tools.u import load"),
            (UTILS + "\nTITLE = gr.Markdown('x')\n", "from tools.u import load"),
            (UTILS + "\n\nclass Page(gr.Blocks):\n    pass\n", "from tools.u import load"),
            (UTILS + "\nfrom gradio import Error\n", "from tools.u import load"),
            (UTILS + "\nvalue = 1\n", "from tools.u import value"),
        ],
    )
    def test_it_stays_upstreams_where_that_would_spare_nothing(self, tmp_path: Path, text: str, line: str) -> None:
        found = self.found(tmp_path, text, line)
        assert "tools/u.py" not in found.texts
        assert set(found.needs.third_party) >= {"numpy", "pandas", "torch"}

    @pytest.mark.parametrize("place", ["utils.py", "ops/u.py", "commons.py", "trainers/u.py"])
    def test_it_stays_upstreams_where_the_package_has_that_name(self, tmp_path: Path, place: str) -> None:
        name = place.removesuffix(".py").replace("/", ".")
        files = {"module/a.py": f"from {name} import load\n{NET}", "module/commons.py": "", place: UTILS}
        assert place not in sources(tmp_path, files).texts

    def test_one_that_runs_ffmpeg(self, tmp_path: Path) -> None:
        text = "import ffmpeg\n\n\ndef load(path):\n    return ffmpeg.input(path).output('-').run()\n"
        assert "tools/u.py" in self.found(tmp_path, text).texts


class TestText:
    @pytest.mark.parametrize(
        ("content", "encoding"),
        [
            (b"\xef\xbb\xbf" + NET.encode(), "utf-8-sig"),
            (NET.replace("\n", "\r\n").encode(), "utf-8"),
            (f"# -*- coding: gbk -*-\n# 中文\n{NET}".encode("gbk"), "gbk"),
            (f"#!/usr/bin/python\n# coding: latin-1\n# é\n{NET}".encode("latin-1"), "iso-8859-1"),
            (f"# coding: ascii\n{NET}".encode(), "utf-8"),
            (NET.encode() + b"# mixed\r\n\x0c\r\n", "utf-8"),
        ],
    )
    def test_is_kept(self, tmp_path: Path, content: bytes, encoding: str) -> None:
        found = sources(tmp_path, {"module/a.py": content})
        assert found.encodings["module/a.py"] == encoding
        assert found.texts["module/a.py"][1].encode(encoding) == content

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (NET.encode() + b"# \xff\n", "UTF-8 text"),
            (b"\n\n# \xd6\xd0\nimport torch\n", "line 3"),
            (b"# coding: rot13\nimport torch\n", "module/a.py"),
            (b"# coding: klingon\nimport torch\n", "klingon"),
            (b"\xef\xbb\xbf# coding: latin-1\nimport torch\n", "module/a.py"),
            (b"import torch\nx = '\0'\n", "null byte"),
            (b"import torch\ndef f(:\n", "not valid Python"),
            (b"import torch\nprint 'x'\n", "line 2"),
            (b"import torch\nx = " + b"(" * 500 + b")" * 500 + b"\n", "module/a.py"),
        ],
    )
    def test_is_refused(self, tmp_path: Path, content: bytes, told: str) -> None:
        assert told in refused(tmp_path, {"module/models.py": NET, "module/a.py": content})

    def test_link_out_of_the_tree(self, tmp_path: Path) -> None:
        (tmp_path / "secret.py").write_text("import torch\n")
        root = tiny(tmp_path / "up")
        (root / "GPT_SoVITS/module/evil.py").symlink_to(tmp_path / "secret.py")
        with pytest.raises(PortError, match=r"evil\.py.*leaves"):
            collect(open_upstream(str(root)))


def test_the_tiny_upstream_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = UPSTREAM["GPT_SoVITS/module/models.py"] + f"\nopen({str(mark)!r}, 'w')\n"
    collect(open_upstream(str(tiny(tmp_path / "up", {"GPT_SoVITS/module/models.py": text}))))
    assert not mark.exists()
