"""What the judge lays out of an upstream whose files lie bare, so that Python imports them."""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

from porter.inputs.upstream import open_upstream
from porter.validate.cases.base import Case, Library, Part
from porter.validate.cases.shapes import nothing
from porter.validate.tree import UpstreamTree
from tests.tiny_upstream import write_tree

NETWORK = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n        return x\n"
TRAIN = (
    "import torch\nfrom models import Net\n\nnet = Net()\nfor x in range(2):\n    net(torch.ones(1)).sum().backward()\n"
)


def test_extension_modules_that_were_built_in_the_tree_come_along(tmp_path: Path) -> None:
    built = f"search/core{EXTENSION_SUFFIXES[0]}"
    root = write_tree(tmp_path / "up", {"models.py": NETWORK, "train.py": TRAIN, built: "machine code"})
    paths = UpstreamTree(open_upstream(str(root))).lay_out_reference(tmp_path / "out")
    assert [(Path(entry) / built).exists() for entry in paths.search] == [True, False]


def test_cython_that_nobody_built_runs_as_python(tmp_path: Path) -> None:
    files = {"models.py": NETWORK, "train.py": TRAIN, "search/core.pyx": "cpdef int twice(int x):\n    return x + x\n"}
    tree = UpstreamTree(open_upstream(str(write_tree(tmp_path / "up", files))))
    place = Path(tree.lay_out_reference(tmp_path / "out").search[0])
    assert list(tree.unbuilt) == ["search/core.pyx"]
    for python in (place / "search/core.py", place / "search/search/core.py"):
        assert "def twice(x)" in python.read_text()


def test_cython_that_somebody_built_is_left_alone(tmp_path: Path) -> None:
    for built in (f"search/core{EXTENSION_SUFFIXES[0]}", f"search/search/core{EXTENSION_SUFFIXES[0]}"):
        files = {"models.py": NETWORK, "train.py": TRAIN, "search/core.pyx": "cpdef f():\n    pass\n", built: "code"}
        root = write_tree(tmp_path / built.replace("/", "-"), files)
        assert UpstreamTree(open_upstream(str(root))).unbuilt == {}


def test_a_folder_is_a_package_where_an_installed_one_would_hide_it(tmp_path: Path) -> None:
    files = {f"{name}/one.py": "import torch\n\none = torch.ones(1)\n" for name in ("click", "of_nobody_else")}
    imports = "from click.one import one\nfrom of_nobody_else.one import one as other\n"
    main = {"models.py": imports + NETWORK, "train.py": TRAIN}
    root = write_tree(tmp_path / "up", {**files, **main})
    paths = UpstreamTree(open_upstream(str(root))).lay_out_reference(tmp_path / "out")
    place = Path(paths.search[0])
    assert (place / "click" / "one.py").exists() and (place / "of_nobody_else" / "one.py").exists()
    assert (place / "click" / "__init__.py").exists() and not (place / "of_nobody_else" / "__init__.py").exists()


def test_a_constructor_that_imports_what_is_missing_draws_the_same_weights() -> None:
    names = []

    def make(entry: object, arguments: dict[str, object]) -> torch.nn.Linear:
        layer = torch.nn.Linear(2, 2)
        names.append(layer.weight.detach().clone())
        __import__("of_nobody_at_all")
        return layer

    case = Case("made", (Part("torch.nn", "Linear", nothing, lambda entry, settings: {}, make=make),))
    torch.manual_seed(0)
    model = case.build(Library(""), {"Linear": {}})
    del sys.modules["of_nobody_at_all"]
    assert len(names) == 2 and torch.equal(names[0], names[1])
    assert torch.equal(model.subject("Linear").weight, names[0])
