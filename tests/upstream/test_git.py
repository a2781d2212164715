"""Snapshots of commits in repositories on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cached_upstream
from porter.inputs.upstream.git_command import run_git

from .conftest import FILES, Repository


@pytest.fixture
def bare(repository: Repository, tmp_path: Path) -> Path:
    return repository.bare_copy(tmp_path / "bare.git")


def test_a_revision_is_read_whatever_the_working_tree_holds(repository: Repository) -> None:
    repository.write("README.md", "second\n")
    repository.commit("v2")
    repository.write("README.md", "not committed\n")
    assert open_upstream(f"{repository.path}@v1").read("README.md") == b"readme\n"
    assert open_upstream(f"{repository.path}@v2").read("README.md") == b"second\n"
    assert open_upstream(f"{repository.path}@v2~1").read("README.md") == b"readme\n"
    assert open_upstream(str(repository.path)).read("README.md") == b"not committed\n"


def test_a_bare_repository_is_listed_and_read(bare: Path, repository: Repository) -> None:
    commit = repository.git("rev-parse", "v1")
    for revision in ("@v1", "@main", f"@{commit}", f"@{commit[:9]}", ""):
        snapshot = open_upstream(f"{bare}{revision}")
        assert snapshot.files() == tuple(sorted(FILES))
        assert snapshot.files("GPT_SoVITS") == tuple(sorted(FILES))[:3]
        assert snapshot.files("GPT") == snapshot.files("README.md") == ()
        assert snapshot.revision == commit
        assert snapshot.spec == f"bare{revision}"
        assert snapshot.read("GPT_SoVITS/module/models.py") == b"models = 1\n"


def test_a_folder_of_a_repository_can_be_the_root(repository: Repository) -> None:
    snapshot = open_upstream(f"{repository.path}/GPT_SoVITS@v1")
    assert snapshot.spec == "GPT_SoVITS@v1"
    assert snapshot.files() == ("module/__init__.py", "module/commons.py", "module/models.py")
    assert snapshot.read("module/commons.py") == b"commons = 1\n"


def test_many_files_are_read_through_one_process(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = open_upstream(f"{bare}@v1")
    snapshot.files()
    calls = []

    def watched(*arguments: str, at: Path | None = None, stdin: bytes = b"") -> bytes:
        calls.append(arguments[0])
        return run_git(*arguments, at=at, stdin=stdin)

    monkeypatch.setattr("porter.inputs.upstream.git_tree.run_git", watched)
    assert snapshot.read_many(FILES) == {name: text.encode() for name, text in FILES.items()}
    assert snapshot.read("README.md") == b"readme\n"
    assert calls == ["cat-file"]


def test_names_and_contents_of_any_bytes_survive(repository: Repository) -> None:
    names = [
        "with space.py",
        "日本語.py",
        'quote".py',
        "tab\t.py",
        "new\nline.py",
        os.fsdecode(b"latin-\xe9.py"),
    ]
    for name in names:
        (repository.path / name).write_bytes(b"\x00\xff\r\n" + os.fsencode(name))
    repository.commit("odd")
    snapshot = open_upstream(f"{repository.path}@odd")
    assert set(names) <= set(snapshot.files())
    for name in names:
        assert snapshot.read(name) == b"\x00\xff\r\n" + os.fsencode(name)
    assert open_upstream(str(repository.path)).files() == snapshot.files()


def test_links_are_followed_inside_the_repository_only(repository: Repository) -> None:
    for name, target in {
        "inner.py": "GPT_SoVITS/module/models.py",
        "second.py": "inner.py",
        "outer.py": "../outside.py",
        "absolute.py": "/etc/hostname",
        "loop.py": "loop.py",
        "broken.py": "nothing.py",
    }.items():
        (repository.path / name).symlink_to(target)
    repository.commit("links")
    snapshot = open_upstream(f"{repository.path}@links")
    assert snapshot.read_many(["second.py", "README.md"]) == {
        "second.py": b"models = 1\n",
        "README.md": b"readme\n",
    }
    for name, told in {
        "outer.py": "leaves",
        "absolute.py": "leaves",
        "loop.py": "leads back",
        "broken.py": "no file nothing.py",
    }.items():
        with pytest.raises(PortError, match=told):
            snapshot.read(name)


def test_an_unknown_revision_names_those_that_look_like_it(bare: Path, repository: Repository) -> None:
    repository.commit("20250606v2pro", "20250422v4")
    with pytest.raises(PortError, match="no revision '20250606v2por'; close to it: 20250606v2pro"):
        open_upstream(f"{repository.path}@20250606v2por")
    with pytest.raises(PortError) as caught:
        open_upstream(f"{bare}@zzz")
    assert "close" not in str(caught.value)


@pytest.mark.parametrize("revision", ["v1:README.md", "v1..main", ":/commit", "^v1", "HEAD:"])
def test_what_names_no_single_commit_is_no_revision(bare: Path, revision: str) -> None:
    try:
        snapshot = open_upstream(f"{bare}@{revision}")
    except PortError:
        return
    assert len(snapshot.revision) == 40
    assert snapshot.files() == tuple(sorted(FILES))


def test_a_folder_without_a_repository_has_no_revisions(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(PortError, match="plain is not a git repository"):
        open_upstream(f"{tmp_path}/plain@v1")
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match="not a directory"):
        open_upstream(f"{tmp_path}/file@v1")


def test_an_empty_repository_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "empty.git").mkdir()
    Repository(tmp_path / "empty.git").git("init", "--quiet", "--bare")
    with pytest.raises(PortError, match="no commit"):
        open_upstream(f"{tmp_path}/empty.git")


def test_a_missing_git_is_told_so(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PortError, match="git is not installed"):
        open_upstream(f"{bare}@v1")


def test_a_missing_blob_is_named_and_the_others_are_read(bare: Path, repository: Repository) -> None:
    blob = repository.git("rev-parse", "v1:GPT_SoVITS/module/models.py")
    (bare / "objects" / blob[:2] / blob[2:]).unlink()
    snapshot = open_upstream(f"{bare}@v1")
    assert "GPT_SoVITS/module/models.py" in snapshot.files()
    assert snapshot.read("README.md") == b"readme\n"
    with pytest.raises(PortError, match=r"GPT_SoVITS/module/models\.py"):
        snapshot.read_many(["README.md", "GPT_SoVITS/module/models.py"])


def test_a_partial_clone_never_fetches_behind_our_back(repository: Repository, tmp_path: Path) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    partial = tmp_path / "partial.git"
    repository.git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{repository.path}", str(partial))
    spy = tmp_path / "spy.sh"
    spy.write_text(f"#!/bin/sh\ntouch '{tmp_path}/fetched'\nexec git-upload-pack \"$@\"\n")
    spy.chmod(0o755)
    Repository(partial).git("config", "remote.origin.uploadpack", str(spy))
    snapshot = open_upstream(f"{partial}@v1")
    assert snapshot.files() == tuple(sorted(FILES))
    with pytest.raises(PortError, match=r"README\.md, but this copy lacks its contents"):
        snapshot.read_many(["README.md"])
    assert not (tmp_path / "fetched").exists()


def test_the_user_s_settings_and_environment_do_not_reach_git(
    bare: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[broken")
    snapshot = open_upstream(f"{bare}@v1")
    assert snapshot.read("README.md") == b"readme\n"


def test_submodules_are_left_out(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendored")
    repository.git("commit", "--quiet", "-m", "submodule")
    assert open_upstream(f"{repository.path}@main").files() == tuple(sorted(FILES))


def test_the_real_upstream_is_read_where_it_is_cached(real_cache: None) -> None:
    url = "https://github.com/RVC-Boss/GPT-SoVITS"
    if cached_upstream(url) is None:
        pytest.skip(f"{url} is not in the cache of this machine; seed_git_mirror puts it there")
    snapshot = open_upstream(f"{url}@20250606v2pro", offline=True)
    assert snapshot.revision == "d7c2210da8c013e81a94bfc7b811a477c99fd506"
    sources = snapshot.read_many(snapshot.files("GPT_SoVITS/module"))
    assert b"class SynthesizerTrn" in sources["GPT_SoVITS/module/models.py"]
