"""The wheel, the changelog, and what status says after an upgrade."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from porter import __version__
from porter.changes.status.changelog import changes_since, sections
from tests.tiny_upstream import own_rules, run, run_json, tiny

ROOT = Path(__file__).parent.parent
_NO_NETWORK = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
)


def changelog() -> list[tuple[str, str, tuple[str, ...]]]:
    return list(sections((ROOT / "CHANGELOG.md").read_text("utf-8")))


class TestChangelog:
    def test_the_version_has_a_section_with_its_day(self) -> None:
        (section,) = [found for found in changelog() if found[0] == __version__]
        assert section[1] and section[2]

    def test_the_newest_come_first_and_nothing_is_newer_than_the_tool(self) -> None:
        names = [name for name, _, _ in changelog()]
        versions = [Version(name) for name in names if name != "Unreleased"]
        assert names[0] in ("Unreleased", __version__) and versions[0] == Version(__version__)
        assert versions == sorted(versions, reverse=True)

    def test_entries_are_those_between(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        text = "# Changes\n\n## Unreleased\n\n- d\n\n## 1.10.0 (2030-01-02)\n\n- c [it](x.md)\n  goes on\n- b\n\n"
        text += "## 1.9.0 (2030-01-01)\n\n- a\n\n## 1.0.0\n\nThe first.\n"
        (tmp_path / "CHANGELOG.md").write_text(text)
        monkeypatch.setattr("porter.changes.status.changelog.place", lambda: tmp_path / "CHANGELOG.md")
        monkeypatch.setattr("porter.changes.status.changelog.__version__", "1.10.0")
        assert changes_since("1.0.0") == ("c it goes on", "b", "a")
        assert changes_since("1.9.0") == ("c it goes on", "b")
        assert changes_since("1.10.0") == changes_since("2.0.0") == changes_since("none") == ()


class TestUpgrade:
    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        run_json("generate", tiny(tmp_path / "up"), "--out", tmp_path / "out")
        return tmp_path / "out"

    def made_by(self, out: Path, version: str) -> None:
        """Let the package say that this version made it."""
        told = json.loads((out / "port.json").read_text())
        (out / "port.json").write_text(json.dumps({**told, "version": version}))

    def test_of_the_same_version_is_no_news(self, out: Path) -> None:
        told = run_json("status", out)
        assert (told["stale"], told["changelog"]) == (False, [])

    def test_of_an_older_one_is_stale_with_what_changed(self, out: Path) -> None:
        self.made_by(out, "0.1.0")
        told = run_json("status", out, status=1)
        assert {"name": "version", "before": "0.1.0", "after": __version__} in told["changes"]["facts"]
        assert told["changelog"] == list(changes_since("0.1.0")) != []
        text = run("status", out, "-v").stdout
        assert f"version 0.1.0 → {__version__}" in text
        assert "New in sovits-port since 0.1.0" in text and all(entry in text for entry in told["changelog"])

    def test_of_a_newer_one(self, out: Path) -> None:
        self.made_by(out, "99.0")
        assert run_json("status", out, status=1)["changelog"] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


def pip(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in _NO_NETWORK):
        pytest.skip("there is no network that packages could come from")
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestWheel:
    def test_holds_all_and_says_what_it_is(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
            told = email.message_from_bytes(archive.read(place))
        kept = {"__pycache__"}
        for folder in ("porter", "rules"):
            for path in (ROOT / folder).rglob("*"):
                if path.is_file() and not kept & set(path.parts):
                    inside = path.relative_to(ROOT).as_posix()
                    assert (inside if folder == "porter" else f"porter/{inside}") in names
        assert {"porter/CHANGELOG.md", "porter/py.typed"} <= names
        assert (told["Version"], told["License-Expression"]) == (__version__, "MIT")
        assert told["Author"] and told["Project-URL"] and "Typing :: Typed" in told.get_all("Classifier", [])
        assert {"xla", "aot"} <= set(told.get_all("Provides-Extra", []))

    def test_its_extra_resolves_to_one_pair(self, wheel: Path) -> None:
        """With what is installed here, which the project's own file asks for."""
        report = json.loads(pip("install", "--dry-run", "--quiet", "--report", "-", f"{wheel}[xla]"))
        wanted = [item["metadata"]["name"] for item in report["install"]]
        assert wanted == ["sovits-port"]
        needed = report["install"][0]["metadata"]["requires_dist"]
        pins = dict(
            line.split(";")[0].strip().replace("_", "-").split("==") for line in needed if "==" in line.split(";")[0]
        )
        assert pins["torch"] == pins["torch-xla"] == metadata.version("torch").split("+")[0]

    def test_works_in_a_fresh_environment(self, wheel: Path, tmp_path: Path) -> None:
        """Three commands from nothing to a diff, in an environment that has nothing else."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
        bin_ = tmp_path / "env" / "bin"
        pip("--python", bin_ / "python", "install", "--quiet", wheel)
        upstream, rules = tiny(tmp_path / "up"), own_rules(tmp_path / "rules")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

        def command(*arguments: str | Path) -> str:
            words = [str(bin_ / "sovits-port"), *map(str, arguments)]
            return subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
            ).stdout

        assert command("--version") == f"sovits-port, version {__version__}\n"
        command("generate", upstream, "--rules", rules)
        assert "SYN900" in command("diff")
        assert "up to date" in command("status")
        assert command("diff", "--html", "page.html") == "" and (tmp_path / "page.html").is_file()
