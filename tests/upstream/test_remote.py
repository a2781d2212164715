"""Repositories behind a URL, and the cache that they are kept in; the servers here are folders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.inputs.upstream import open_upstream
from porter.inputs.upstream.cache import cache_root, cached_upstream, git_mirror_path, seed_git_mirror
from porter.inputs.upstream.git_command import run_git

from .conftest import FILES, Repository


@pytest.fixture(params=["whole", "partial"])
def server(request: pytest.FixtureRequest, repository: Repository) -> Repository:
    """A server that sends everything, and one that can leave blobs out."""
    if request.param == "partial":
        repository.git("config", "uploadpack.allowFilter", "true")
        repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    return repository


def url_of(server: Repository) -> str:
    return f"file://{server.path}"


def test_a_url_is_cloned_once_and_read_from_the_cache(server: Repository) -> None:
    url = url_of(server)
    commit = server.git("rev-parse", "HEAD")
    snapshot = open_upstream(f"{url}@v1")
    assert (snapshot.spec, snapshot.revision) == ("GPT-SoVITS@v1", commit)
    assert snapshot.files() == tuple(sorted(FILES))
    assert snapshot.read_many(FILES) == {name: text.encode() for name, text in FILES.items()}
    server.path.rename(server.path.with_name("gone"))
    server.path.mkdir()  # the URL still names a folder, and nobody answers there
    again = open_upstream(f"{url}@v1")
    assert again.read_many(FILES) == {name: text.encode() for name, text in FILES.items()}
    assert again.notes == ()


def test_blobs_come_only_when_they_are_read_and_all_at_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        repository.git("config", key, "true")
    calls = []

    def watched(*arguments: str, **options: object) -> bytes:
        calls.append(arguments[0])
        return run_git(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("porter.inputs.upstream.remote.run_git", watched)
    snapshot = open_upstream(f"{url_of(repository)}@v1")
    snapshot.files()
    assert "fetch" not in calls
    mirror = git_mirror_path(url_of(repository))
    blob = repository.git("rev-parse", "v1:README.md")
    assert blob not in Repository(mirror).git("cat-file", "--batch-all-objects", "--batch-check")
    snapshot.read_many(["GPT_SoVITS/module/models.py", "GPT_SoVITS/module/commons.py"])
    snapshot.read("GPT_SoVITS/module/models.py")
    assert calls.count("fetch") == 1
    assert blob not in Repository(mirror).git("cat-file", "--batch-all-objects", "--batch-check")


def test_a_branch_is_looked_up_again_and_a_tag_is_not(server: Repository) -> None:
    url = url_of(server)
    first = server.git("rev-parse", "HEAD")
    assert open_upstream(url).revision == open_upstream(f"{url}@main").revision == first
    server.write("README.md", "second\n")
    second = server.commit()
    server.git("tag", "--force", "v1")
    assert open_upstream(f"{url}@v1").revision == first
    assert open_upstream(f"{url}@main", offline=True).revision == first
    assert open_upstream(f"{url}@main").revision == second
    assert open_upstream(url).revision == second
    assert open_upstream(f"{url}@main").read("README.md") == b"second\n"


def test_a_new_tag_a_new_default_branch_and_a_bare_commit_are_fetched(server: Repository) -> None:
    url = url_of(server)
    open_upstream(url)
    server.write("README.md", "second\n")
    second = server.commit("v2")
    assert open_upstream(f"{url}@v2").revision == second
    server.git("checkout", "--quiet", "-b", "develop")
    third = server.commit()
    server.git("branch", "-D", "main")
    assert open_upstream(url).revision == third
    server.git("checkout", "--quiet", "--detach")
    server.git("config", "uploadpack.allowAnySHA1InWant", "true")
    loose = server.commit()
    server.git("checkout", "--quiet", "develop")
    assert open_upstream(f"{url}@{loose}").revision == loose


def test_a_branch_serves_from_the_cache_with_a_note_when_nobody_answers(server: Repository) -> None:
    url = url_of(server)
    first = open_upstream(f"{url}@main").revision
    server.path.rename(server.path.with_name("gone"))
    server.path.mkdir()
    snapshot = open_upstream(f"{url}@main")
    assert snapshot.revision == first
    assert len(snapshot.notes) == 1
    assert "could not be refreshed" in snapshot.notes[0]
    with pytest.raises(PortError, match="no revision 'v2'; close to it: v1, and it cannot be fetched"):
        open_upstream(f"{url}@v2")


def test_without_the_network_only_the_cache_is_used(server: Repository) -> None:
    url = url_of(server)
    with pytest.raises(PortError, match="not in the cache"):
        open_upstream(f"{url}@v1", offline=True)
    open_upstream(f"{url}@v1").read_many(FILES)
    assert open_upstream(f"{url}@v1", offline=True).read("README.md") == b"readme\n"
    with pytest.raises(PortError, match="not in the cache"):
        open_upstream(f"{url}@v9", offline=True)


def test_an_unknown_revision_of_a_url_names_close_ones(server: Repository) -> None:
    with pytest.raises(PortError, match="no revision 'v11'; close to it: v1"):
        open_upstream(f"{url_of(server)}@v11")


def test_a_server_that_is_no_repository_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    url = f"file://{tmp_path}/plain"
    with pytest.raises(PortError, match="cannot fetch file://"):
        open_upstream(f"{url}@v1")
    assert cached_upstream(url) is None
    assert [path for path in cache_root().rglob("*") if path.is_dir()] == [
        cache_root() / "upstreams",
        cache_root() / "upstreams" / "git",
    ]


def test_a_cache_that_cannot_be_written_is_told_so(
    server: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SOVITS_PORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(PortError, match="cache folder"):
        open_upstream(f"{url_of(server)}@v1")


def test_many_processes_may_fetch_the_same_url_at_once(server: Repository) -> None:
    code = (
        "import sys; from porter.inputs.upstream import open_upstream; s = open_upstream(sys.argv[1]);"
        "print(s.revision, len(s.read_many(s.files())))"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, url_of(server)]
    running = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = {process.communicate()[0] for process in running}
    assert answers == {f"{server.git('rev-parse', 'HEAD')} {len(FILES)}\n"}


def test_what_a_killed_fetch_left_is_no_obstacle(server: Repository) -> None:
    url = url_of(server)
    open_upstream(url)
    mirror = git_mirror_path(url)
    (mirror / "packed-refs.lock").write_text("")
    (mirror / "refs" / "heads" / "main.lock").write_text("")
    server.write("README.md", "second\n")
    second = server.commit()
    snapshot = open_upstream(url)
    assert (snapshot.revision, snapshot.notes) == (second, ())


def test_a_seeded_copy_serves_without_the_network(repository: Repository, tmp_path: Path) -> None:
    url = "https://host.invalid/owner/name"
    source = repository.bare_copy(tmp_path / "source.git")
    hook = source / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("")
    assert cached_upstream(url) is None
    mirror = seed_git_mirror(url, source)
    assert mirror == git_mirror_path(url) == cached_upstream(url) == seed_git_mirror(f"{url}.git", source)
    assert not (mirror / "hooks").exists()
    assert str(source) not in (mirror / "config").read_text()
    snapshot = open_upstream(f"{url}@v1")
    assert snapshot.spec == f"{url}@v1"
    assert snapshot.read("README.md") == b"readme\n"


def test_only_whole_bare_repositories_are_seeded(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(PortError, match="not a bare"):
        seed_git_mirror("https://host.invalid/a/b", repository.path)
    shared = tmp_path / "shared.git"
    repository.git("clone", "--quiet", "--bare", "--shared", str(repository.path), str(shared))
    with pytest.raises(PortError, match="borrows"):
        seed_git_mirror("https://host.invalid/a/b", shared)


def test_each_repository_has_one_place_and_no_two_share_it(
    make_repository: Callable[[str], Repository], tmp_path: Path
) -> None:
    def name(url: str) -> str:
        return git_mirror_path(url).name

    assert name("https://github.com/RVC-Boss/GPT-SoVITS") == "github.com+RVC-Boss+GPT-SoVITS.git"
    same = ["https://h/o/n", "https://h/o/n.git", "https://H/o/n/", "https://h/o/n.git/"]
    assert {name(url) for url in same} == {"h+o+n.git"}
    assert name("ssh://git@h/o/n") == name("git@h:o/n") == "ssh+h+o+n.git"
    different = [
        "https://h/o/n",
        "https://h/o+n",
        "https://h+o/n",
        "https://h:1/o/n",
        "git@h:o/n",
        "https://h/o_n",
    ]
    different += [
        "https://h/o:n",
        "file:///a/n",
        "file:///b/n",
        "https://h/" + "n" * 300,
        "https://h/" + "n" * 301,
    ]
    assert len({name(url) for url in different}) == len(different)
    assert all(len(name(url)) < 240 for url in different)
