"""Repositories made on the spot, and a cache of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

_REAL_CACHE = os.environ.get("SOVITS_PORT_CACHE")

FILES = {
    "GPT_SoVITS/module/__init__.py": "",
    "GPT_SoVITS/module/models.py": "models = 1\n",
    "GPT_SoVITS/module/commons.py": "commons = 1\n",
    "README.md": "readme\n",
}


@dataclass(frozen=True)
class Repository:
    """A git repository that a test may change."""

    path: Path

    def git(self, *arguments: str, expect: int | None = 0) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.path), *identity, *arguments]
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=kept)
        assert expect in (None, done.returncode), done.stderr
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def commit(self, *tags: str) -> str:
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", "commit")
        for tag in tags:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def bare_copy(self, place: Path) -> Path:
        self.git("clone", "--quiet", "--bare", str(self.path), str(place))
        return place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the cache of whoever runs it."""
    cache = tmp_path / "own-cache"
    monkeypatch.setenv("SOVITS_PORT_CACHE", str(cache))
    return cache


@pytest.fixture
def real_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except those that look for what is kept there."""
    if _REAL_CACHE is None:
        monkeypatch.delenv("SOVITS_PORT_CACHE")
    else:
        monkeypatch.setenv("SOVITS_PORT_CACHE", _REAL_CACHE)


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[str], Repository]:
    """Make a repository of one commit, tagged v1, under the given name."""

    def make(name: str) -> Repository:
        path = tmp_path / name
        path.mkdir(parents=True)
        repository = Repository(path)
        repository.git("init", "--quiet", "--initial-branch=main")
        for file, text in FILES.items():
            repository.write(file, text)
        repository.commit("v1")
        return repository

    return make


@pytest.fixture
def repository(make_repository: Callable[[str], Repository]) -> Repository:
    return make_repository("GPT-SoVITS")
