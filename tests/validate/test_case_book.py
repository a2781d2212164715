"""The book of cases, and what their inputs are made of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from porter.inputs.upstream import open_upstream
from porter.validate.cases import FORMS, KERNELS, TITLES, load_case
from porter.validate.cases.shapes import drawn, varying_mask
from porter.validate.likeness import signature_findings, signatures
from porter.validate.settings import make_settings
from porter.validate.tree import UpstreamTree


@pytest.mark.parametrize("name", [*TITLES, *FORMS, *KERNELS])
def test_labels_tell_the_parts_of_a_case_apart(name: str) -> None:
    labels = [part.name for part in load_case(name).parts]
    assert not [label for label, count in Counter(labels).items() if count > 1]
    assert not [label for label in labels if "." in label or "/" in label]  # they are names of submodules and files


def test_lengths_vary_and_shapes_do_not() -> None:
    settings = make_settings(None, "tiny")
    inputs = drawn("x_mask", x=("width", "frames"), g=(16, 1))
    batches = [inputs(None, settings, torch.Generator().manual_seed(seed)) for seed in range(4)]
    assert {tuple(batch["x"].shape) for batch in batches} == {(settings.batch, 32, settings.frames)}
    ends = {int(end) for batch in batches for end in batch["x_mask"].sum((1, 2))}
    assert len(ends) > 2
    assert min(ends) >= settings.frames // 2
    assert max(ends) <= settings.frames
    assert varying_mask(settings, torch.Generator(), "phonemes").shape == (settings.batch, 1, settings.phonemes)


def test_a_scripted_function_shows_its_parameters() -> None:
    def plain(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left + right

    def renamed(left: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return left + other

    scripted: Any = torch.jit.script(plain)
    assert signature_findings("plain", signatures(scripted), plain) == []
    assert signature_findings("plain", signatures(scripted), renamed) != []


def test_data_that_a_file_beside_the_modules_names_is_laid_out(tmp_path: Path) -> None:
    files = {
        "GPT_SoVITS/module/__init__.py": "",
        "GPT_SoVITS/module/models.py": "from torch import nn\nfrom tools.words import say\n\n\nclass A(nn.Module):\n    x = say\n",
        "tools/words.py": "say = open(__file__.replace('words.py', '') + 'locale' + '/en.json').read()\n",
        "tools/locale/en.json": "{}",
        "tools/other/en.json": "{}",
        "tools/locale/en.txt": "",
    }
    for name, text in files.items():
        path = tmp_path / "upstream" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    place = tmp_path / "laid"
    UpstreamTree(open_upstream(str(tmp_path / "upstream"))).lay_out_reference(place)
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    found.discard("tools/__init__.py")  # there if an installed package, as this project's own, has that name
    assert found == files.keys() - {"tools/other/en.json", "tools/locale/en.txt"}
