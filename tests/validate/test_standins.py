"""Packages that are not installed are stood in for; what a port lacks is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from porter.validate.cases.base import Library, Unavailable
from porter.validate.cases.standins import StandIns, standing


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_package_that_nothing_uses_is_stood_in_for(folder: Path) -> None:
    _write(folder, sip__a="import sip_tools\nvalue = 1\n", sip_tools="import sip_absent\nimport sip_other as o\n")
    assert StandIns().import_module("sip.a").value == 1
    assert standing() == ["sip_absent", "sip_other"]


def test_a_file_is_found_in_whatever_folder_it_lies(folder: Path) -> None:
    _write(folder, port__tpu__inner__siq_parts="x = 1\n", port__tpu__one__siq_two="", port__tpu__two__siq_two="")
    assert Library("port.tpu", roots=(str(folder / "port/tpu"),)).module("siq_parts").x == 1
    assert Library("", roots=(str(folder),)).module("siq_parts").__name__ == "port.tpu.inner.siq_parts"
    with pytest.raises(Unavailable):
        Library("port.tpu", roots=(str(folder / "port/tpu"),)).module("siq_two")
    with pytest.raises(Unavailable):
        Library("port.tpu").module("siq_parts")


def test_using_it_fails(folder: Path) -> None:
    _write(folder, siu__a="import siu_absent\ndef f():\n    return siu_absent.load()\n")
    module = StandIns().import_module("siu.a")
    with pytest.raises(AttributeError, match="siu_absent is not installed"):
        module.f()


def test_a_port_may_miss_only_what_upstream_missed(folder: Path) -> None:
    _write(folder, sim__a="import sim_absent\nimport sim_sibling\n")
    with pytest.raises(ModuleNotFoundError, match="sim_sibling"):
        StandIns(["sim_absent"]).import_module("sim.a")
    _write(folder, sim__b="import sim_absent\n")
    assert StandIns(["sim_absent"]).import_module("sim.b")


def test_what_stands_in_is_refused_to_a_port_whose_upstream_had_it(folder: Path) -> None:
    _write(folder, sir__a="import sir_absent\n")
    StandIns().import_module("sir.a")
    with pytest.raises(ModuleNotFoundError, match="sir_absent"):
        StandIns([]).import_module("sir.a")


def test_what_is_asked_for_is_never_stood_in_for(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="sia"):
        StandIns().import_module("sia")


def test_namespaces_survive_a_failure_in_the_package_around_them(folder: Path) -> None:
    _write(
        folder,
        sin__other="from sin.model.parts.net import x\n",
        sin__model__parts__net="from sin.model.modules import x\n",
        sin__model__modules="import sin_absent\nx = 1\n",
    )
    (folder / "sin" / "model" / "__init__.py").write_text("from sin.model.parts.net import x\n", encoding="utf-8")
    assert StandIns().import_module("sin.other").x == 1


def test_a_library_finds_what_is_beside_its_folder(folder: Path) -> None:
    _write(folder, lib__module__models="", lib__beside__parts="x = 1\n", beside__parts="x = 2\n")
    assert Library("lib.module").module("beside.parts").x == 1
    _write(folder, models="", lib__module__inner__parts="x = 3\n")
    assert Library("lib.module").module("inner.parts").x == 3
    with pytest.raises(Unavailable, match=r"no beside/other\.py"):
        Library("lib.module").module("beside.other")
    with pytest.raises(Unavailable, match=r"no lib\.py"):
        Library("lib.module").module("lib")


def test_classes_of_what_is_missing_can_be_built_and_compute_nothing(folder: Path) -> None:
    text = "from sib_absent.metrics import Accuracy\nmetric = Accuracy(3, top_k=2)\ndef f():\n    return metric(1)\n"
    _write(folder, sib__a=text)
    module = StandIns().import_module("sib.a")
    assert standing() == ["sib_absent"]
    with pytest.raises(AttributeError, match=r"sib_absent\.metrics is not installed, so its Accuracy computes nothing"):
        module.f()
