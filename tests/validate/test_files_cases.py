"""The cases of trainers' files: where upstream has them, and that a difference in what is read or written shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from porter.validate.cases import load_case
from porter.validate.cases.base import Library, Subjects, Unavailable
from porter.validate.cases.files import told
from porter.validate.settings import make_settings
from porter.validate.step import flatten

UTILS = """
import glob
import os


def latest_checkpoint_path(folder, regex="G_*.pth"):
    return sorted(glob.glob(os.path.join(folder, regex)), key=lambda f: int("".join(filter(str.isdigit, f))))[-1]
"""


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "__init__.py").touch()
    (tmp_path / "utils.py").write_text(UTILS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sys.modules.pop("utils", None)
    yield tmp_path
    for name in ("utils", "networks"):
        sys.modules.pop(name, None)
    if before is not None:
        sys.modules["utils"] = before


def latest() -> dict[str, float]:
    case, library = load_case("files.checkpoints"), Library("networks")
    settings = make_settings(None, "tiny")
    arguments = case.describe(library, settings)
    model = case.build(library, arguments)
    assert isinstance(model, Subjects)
    batch = case.batch(model, arguments, settings, torch.Generator().manual_seed(0))
    return {name: float(value) for name, value in flatten(case.run(model, batch))}


def test_upstream_has_its_trainers_beside_the_folder_of_its_networks(upstream: Path) -> None:
    assert Library("networks").member("trainers.utils", "latest_checkpoint_path")
    with pytest.raises(Unavailable):
        Library("networks").member("trainers.process_ckpt", "savee")


def test_a_file_chosen_by_its_letters_shows(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # both are as long, and written in the same second
    right = latest()
    (upstream / "utils.py").write_text(UTILS.replace("int(", "str("), encoding="utf-8")
    del sys.modules["utils"]
    wrong = latest()
    assert right.keys() == wrong.keys()
    assert right != wrong


def test_text_and_truth_are_told_as_numbers() -> None:
    assert told("v2") != told("v3")
    assert told(True) != told(1)
    assert told(None) != told(False)
    assert told({"a": [1.5, b"x"]}) == {"a": {"0": 1.5, "1": told("x")}}
