"""Snapshots of folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.inputs.upstream import open_upstream

from .conftest import FILES, Repository


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_folder_is_listed_sorted_and_read_as_bytes(tree: Path) -> None:
    snapshot = open_upstream(str(tree))
    assert snapshot.files() == tuple(sorted(FILES))
    assert snapshot.files("GPT_SoVITS/module/") == snapshot.files("./GPT_SoVITS/module") == tuple(sorted(FILES))[:3]
    assert snapshot.files("nowhere") == snapshot.files("README.md") == snapshot.files("README.md/x") == ()
    assert snapshot.read("README.md") == b"readme\n"
    assert list(snapshot.read_many(["README.md", "GPT_SoVITS/module/models.py"])) == [
        "README.md",
        "GPT_SoVITS/module/models.py",
    ]
    assert (snapshot.spec, snapshot.revision, snapshot.notes) == ("checkout", "", ())


def test_a_snapshot_stays_as_it_was_first_read(tree: Path) -> None:
    snapshot = open_upstream(str(tree))
    listed, read = snapshot.files(), snapshot.read("README.md")
    (tree / "README.md").write_text("changed")
    (tree / "new.py").write_text("")
    assert (snapshot.files(), snapshot.read("README.md")) == (listed, read)


def test_hidden_folders_caches_and_environments_are_not_listed(tree: Path) -> None:
    for name in (
        ".git/x.py",
        ".hidden/x.py",
        "a/__pycache__/x.pyc",
        "env/lib/x.py",
        "conda/x.py",
        "runtime/x.py",
    ):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text("")
    (tree / "env" / "pyvenv.cfg").write_text("")
    (tree / "conda" / "conda-meta").mkdir()
    (tree / "runtime" / "python.exe").write_text("")
    assert open_upstream(str(tree)).files() == tuple(sorted(FILES))


def test_only_the_folder_asked_for_is_walked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "GPT_SoVITS" / "pretrained_models").mkdir()
    scanned = []
    scandir = os.scandir

    def watched(path: Path) -> object:
        scanned.append(Path(path).relative_to(tree.resolve()).as_posix())
        return scandir(path)

    snapshot = open_upstream(str(tree))
    monkeypatch.setattr(os, "scandir", watched)
    snapshot.files("GPT_SoVITS/module")
    snapshot.files("GPT_SoVITS/module")
    assert scanned == ["GPT_SoVITS/module"]


def test_links_inside_the_folder_are_read_and_those_that_leave_it_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tree / "inner.py").symlink_to("GPT_SoVITS/module/models.py")
    (tree / "outer.py").symlink_to(tmp_path / "outside.py")
    (tree / "outer").symlink_to(tmp_path / "outside")
    (tree / "up").symlink_to("..")
    (tree / "loop.py").symlink_to("loop.py")
    (tree / "broken.py").symlink_to("nothing.py")
    snapshot = open_upstream(str(tree))
    assert snapshot.files() == tuple(sorted([*FILES, "inner.py", "outer.py", "loop.py", "broken.py"]))
    assert snapshot.read("inner.py") == b"models = 1\n"
    for name, told in (
        ("outer.py", "leaves the folder"),
        ("up/outside.py", "leaves the folder"),
        ("loop.py", "leads back to itself"),
        ("broken.py", "no file"),
    ):
        with pytest.raises(PortError, match=told):
            snapshot.read(name)
    with pytest.raises(PortError, match="leaves the folder"):
        snapshot.files("outer")


@pytest.mark.parametrize(
    "name", ["nowhere.py", "README.md/x", "GPT_SoVITS", "", "../checkout/README.md", "/etc", "a\0b"]
)
def test_what_is_no_file_of_the_folder_is_refused(tree: Path, name: str) -> None:
    with pytest.raises(PortError):
        open_upstream(str(tree)).read(name)


def test_a_pipe_does_not_block_the_reader(tree: Path) -> None:
    os.mkfifo(tree / "pipe.py")
    snapshot = open_upstream(str(tree))
    assert "pipe.py" in snapshot.files()  # whoever needs it hears why it is not read
    with pytest.raises(PortError, match="not a regular file"):
        snapshot.read("pipe.py")


def test_files_are_written_below_the_destination(tree: Path, tmp_path: Path) -> None:
    snapshot = open_upstream(str(tree))
    snapshot.materialize(snapshot.files("GPT_SoVITS"), tmp_path / "copy")
    assert (tmp_path / "copy" / "GPT_SoVITS" / "module" / "models.py").read_bytes() == b"models = 1\n"
    assert not (tmp_path / "copy" / "README.md").exists()


def test_nothing_is_written_outside_the_destination(tree: Path, tmp_path: Path) -> None:
    snapshot = open_upstream(str(tree))
    target = tmp_path / "copy"
    (tmp_path / "elsewhere").mkdir()
    target.mkdir()
    (target / "GPT_SoVITS").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PortError, match="symbolic link"):
        snapshot.materialize(["GPT_SoVITS/module/models.py"], target)
    assert [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()] == []
    for name in ("../README.md", "./README.md", ".git/hooks/x"):
        with pytest.raises(PortError):
            snapshot.materialize([name], target)
    target_file = tmp_path / "file"
    target_file.write_text("")
    with pytest.raises(PortError, match="cannot write"):
        snapshot.materialize(["README.md"], target_file)


def test_a_clean_checkout_is_named_by_its_commit_and_a_changed_one_as_such(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    path = str(repository.path)
    assert open_upstream(path).revision == commit
    assert open_upstream(f"{path}/GPT_SoVITS").revision == commit
    repository.write("GPT_SoVITS/module/tpu/models.py", "ported")
    repository.write("GPT_SoVITS/port.json", "{}")
    repository.write("sovits-port.toml", "")
    assert open_upstream(path).revision == commit
    repository.write("GPT_SoVITS/module/models.py", "changed")
    assert open_upstream(path).revision == f"{commit}-dirty"
    repository.git("checkout", "--quiet", ".")
    repository.write("GPT_SoVITS/module/new.py", "")
    assert open_upstream(path).revision == f"{commit}-dirty"


def test_a_folder_that_its_repository_ignores_has_no_commit(repository: Repository) -> None:
    repository.write(".gitignore", "vendored/\n")
    repository.commit()
    repository.write("vendored/module/models.py", "")
    assert open_upstream(str(repository.path / "vendored")).revision == ""


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.a.clean", "filter.a.process", "filter.b=c.clean"])
def test_opening_a_checkout_runs_no_program_that_it_names(repository: Repository, tmp_path: Path, setting: str) -> None:
    sprung = tmp_path / "sprung"
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch '{sprung}'\ncat\n")
    trap.chmod(0o755)
    models = repository.path / "GPT_SoVITS" / "module" / "models.py"
    repository.write(".gitattributes", f"*.py filter={setting.split('.')[1]}\n")
    commit = repository.commit()
    repository.git("config", setting, str(trap))
    repository.git("config", "filter.a.required", "true")
    os.utime(models, (1, 1))  # makes git compare the contents
    repository.git("status", expect=None)
    assert sprung.exists()  # so the trap works
    sprung.unlink()
    os.utime(models, (2, 2))
    assert open_upstream(str(repository.path)).revision == ("" if "=" in setting else commit)
    assert not sprung.exists()
