"""What `generate` does with a package that somebody edited: it merges, it marks, it never loses."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.hand_edits.packages import judge_package
from bench.kill_generate import kill_often
from porter.inputs.upstream import open_upstream
from porter.package.manifest import SCHEMA
from porter.package.store import Place, recover, write_package
from porter.validate.manifest import read_manifest
from porter.validate.sourcemap import SourceMap
from porter.validate.variants import Variants
from tests.tiny_upstream import COMMONS, MODELS, own_rules, run, run_json, snapshot_of, tiny

MODELS_AT, COMMONS_AT = "GPT_SoVITS/module/models.py", "GPT_SoVITS/module/commons.py"
NEW_MODELS = MODELS.replace("Text in, numbers out.", "Numbers out, text in.")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tiny(tmp_path / "tiny")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return own_rules(tmp_path / "rules")


@pytest.fixture
def out(tmp_path: Path, upstream: Path, rules: Path) -> Path:
    assert run("generate", upstream, "--rules", rules, "--out", tmp_path / "out").exit_code == 0
    return tmp_path / "out"


@pytest.fixture
def again(upstream: Path, rules: Path, out: Path) -> Again:
    return Again(upstream, rules, out)


class Again:
    """Generating once more."""

    def __init__(self, upstream: Path, rules: Path, out: Path) -> None:
        self.arguments = ("generate", upstream, "--rules", rules, "--out", out)

    def json(self, *more: str, status: int = 0) -> dict[str, Any]:
        return run_json(*self.arguments, *more, status=status)

    def refused(self, *more: str) -> str:
        result = run(*self.arguments, *more)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("sovits-port: error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


class TestMerging:
    def test_an_edit_beside_an_upstream_change_is_kept(self, upstream: Path, out: Path, again: Again) -> None:
        models = out / "module/tpu/models.py"
        change(models, "torch.swapped(x)", "torch.swapped(x) + mine")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        result = run(*again.arguments)
        assert result.exit_code == 0
        assert "Edited by hand, and kept: module/tpu/models.py\n" in result.stdout
        text = models.read_text()
        assert "torch.swapped(x) + mine" in text
        assert "Numbers out, text in." in text
        assert again.json()["edited_by_hand"] == ["module/tpu/models.py"]

    def test_manifest_and_base_stay_those_of_what_was_generated(
        self, tmp_path: Path, upstream: Path, rules: Path, out: Path, again: Again
    ) -> None:
        (out / "module/tpu/mine.py").write_text("mine = 1\n")
        change(out / "module/tpu/models.py", "torch.swapped(x)", "mine")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        again.json()
        assert run("generate", upstream, "--rules", rules, "--out", tmp_path / "clean").exit_code == 0
        for name in ("port.json", "port.base"):
            assert (out / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()

    def test_nothing_to_merge_is_up_to_date(self, out: Path, again: Again) -> None:
        change(out / "module/tpu/models.py", "torch.swapped(x)", "mine")
        (out / "module/tpu/mine.py").write_text("mine = 1\n")
        before = snapshot_of(out)
        result = run(*again.arguments)
        assert result.exit_code == 0
        assert "is up to date" in result.stdout
        assert "module/tpu/models.py" in result.stdout
        told = again.json()
        assert not told["written"]
        assert told["edited_by_hand"] == ["module/tpu/models.py"]
        assert told["added_by_hand"] == ["module/tpu/mine.py"]
        assert (told["restored"], told["conflicts"]) == ([], [])
        assert snapshot_of(out) == before

    def test_a_rule_that_is_off_now_is_merged_too(self, out: Path, again: Again) -> None:
        change(out / "module/tpu/models.py", "Text in", "Mine in")
        again.json("--ignore", "SYN900")
        text = (out / "module/tpu/models.py").read_text()
        assert "torch.swap_me(x)" in text
        assert "Mine in" in text

    def test_a_conflict_is_marked_listed_and_stays_until_it_is_solved(
        self, upstream: Path, out: Path, again: Again
    ) -> None:
        models = out / "module/tpu/models.py"
        change(models, "Text in, numbers out.", "Mine.")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        result = run(*again.arguments)
        line = models.read_text().splitlines().index("<<<<<<< edited by hand") + 1
        assert result.exit_code == 1
        assert f"{models}:{line}" in result.stdout
        text = models.read_text()
        assert '    """Mine."""\n||||||| generated before\n' in text
        assert '=======\n    """Numbers out, text in."""\n>>>>>>> generated now\n' in text
        # Neither an unchanged upstream nor one that moved on touches what is not solved yet.
        for commons in (COMMONS, COMMONS + "more = 1\n"):
            tiny(upstream, {MODELS_AT: NEW_MODELS, COMMONS_AT: commons})
            before = snapshot_of(out)
            told = again.json(status=1)
            assert not told["written"]
            (found,) = told["conflicts"]
            assert (found["file"], found["line"], found["kind"]) == ("module/tpu/models.py", line, "still marked")
            assert snapshot_of(out) == before
        assert f"{models}:{line}" in run(*again.arguments).stdout
        for more in ((), ("--content",)):
            status = run("status", upstream, out, "--rules", again.arguments[3], *more)
            assert status.exit_code == 1
            assert f"module/tpu/models.py:{line}" in status.stdout
        (found,) = run_json("status", upstream, out, "--rules", again.arguments[3], status=1)["conflicts"]
        assert (found["file"], found["line"], found["kind"]) == ("module/tpu/models.py", line, "still marked")
        assert '"conflict"' in run("status", upstream, out, "--rules", again.arguments[3], "--sarif").stdout
        lines = text.splitlines(keepends=True)
        models.write_text("".join(lines[: line - 1] + lines[line : line + 1] + lines[line + 6 :]))
        told = again.json()
        assert told["written"]
        assert told["edited_by_hand"] == ["module/tpu/models.py"]
        assert "Mine." in models.read_text()
        assert "more = 1" in (out / "module/tpu/commons.py").read_text()

    def test_a_merge_that_is_no_python_exits_1(self, upstream: Path, out: Path, again: Again) -> None:
        commons = out / "module/tpu/commons.py"
        change(commons, "def double(x):\n", "")
        tiny(upstream, {COMMONS_AT: f"{COMMONS}\n\nmore = 1\n"})
        (found,) = again.json(status=1)["conflicts"]
        assert (found["file"], found["kind"]) == ("module/tpu/commons.py", "not Python")
        assert commons.read_text().splitlines()[found["line"] - 1].startswith("    return")
        assert "more = 1" in commons.read_text()

    @pytest.mark.parametrize(
        "name", ["module/tpu/utils.py", "module/tpu/discriminator.py", "module/tpu/ops/glu.py", "module/__init__.py"]
    )
    def test_files_without_an_upstream_are_merged_alike(
        self, upstream: Path, out: Path, again: Again, name: str
    ) -> None:
        (out / name).write_text("# mine\n" + (out / name).read_text() + "# mine too\n")
        ours = (out / name).read_bytes()
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        assert again.json()["edited_by_hand"] == [name]
        assert (out / name).read_bytes() == ours

    def test_a_header_with_another_revision_is_no_conflict(self, upstream: Path, out: Path, rules: Path) -> None:
        models = out / "module/tpu/models.py"
        change(models, "\n# Licence", "\n# mine\n# Licence")
        later = upstream.rename(upstream.with_name("later"))
        told = run_json("generate", later, "--rules", rules, "--out", out)
        assert told["edited_by_hand"] == ["module/tpu/models.py"]
        assert "later, at no commit, GPT_SoVITS/module/models.py\n# mine\n" in models.read_text()


class TestFiles:
    def test_one_that_was_added_is_kept(self, upstream: Path, out: Path, again: Again) -> None:
        (out / "module/tpu/below").mkdir()
        (out / "module/tpu/below/mine.py").write_bytes(b"mine = 1\r\n\xff")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        assert again.json()["added_by_hand"] == ["module/tpu/below/mine.py"]
        assert (out / "module/tpu/below/mine.py").read_bytes() == b"mine = 1\r\n\xff"

    def test_one_that_was_added_and_is_new_upstream_holds_both(self, upstream: Path, out: Path, again: Again) -> None:
        (out / "module/tpu/new.py").write_text("mine = 1\n")
        tiny(upstream, {"GPT_SoVITS/module/new.py": "import torch\n"})
        (found,) = again.json(status=1)["conflicts"]
        assert (found["file"], found["line"], found["kind"]) == ("module/tpu/new.py", 1, "both added")
        text = (out / "module/tpu/new.py").read_text()
        assert text.startswith("<<<<<<< edited by hand\nmine = 1\n||||||| generated before\n=======\n# Generated by")
        assert "import torch\n>>>>>>> generated now\n" in text

    def test_one_that_was_deleted_comes_back(self, upstream: Path, out: Path, again: Again) -> None:
        before = snapshot_of(out)
        (out / "module/tpu/commons.py").unlink()
        change(out / "module/tpu/models.py", "Text in", "Mine in")
        result = run(*again.arguments)
        assert "Deleted by hand, and written again: module/tpu/commons.py\n" in result.stdout
        assert snapshot_of(out)["module/tpu/commons.py"] == before["module/tpu/commons.py"]
        assert "Mine in" in (out / "module/tpu/models.py").read_text()

    def test_one_that_is_gone_upstream_is_kept_and_told(self, upstream: Path, out: Path, again: Again) -> None:
        tiny(upstream, {MODELS_AT: "import torch\n"})
        change(out / "module/tpu/commons.py", "* 2", "* 3")
        ours = (out / "module/tpu/commons.py").read_bytes()
        (upstream / COMMONS_AT).unlink()
        (found,) = again.json(status=1)["conflicts"]
        assert (found["file"], found["kind"]) == ("module/tpu/commons.py", "gone upstream")
        assert (out / "module/tpu/commons.py").read_bytes() == ours
        # From now on it is a file of that person's own.
        assert again.json()["added_by_hand"] == ["module/tpu/commons.py"]
        assert (out / "module/tpu/commons.py").read_bytes() == ours

    def test_an_edit_that_upstream_made_too_is_none_any_more(self, upstream: Path, out: Path, again: Again) -> None:
        change(out / "module/tpu/models.py", "Text in, numbers out.", "Numbers out, text in.")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        assert again.json()["edited_by_hand"] == []
        assert again.json()["edited_by_hand"] == []


class TestRefused:
    """What cannot be merged: one sentence, status 2, and nothing on disk changes."""

    def check(self, out: Path, again: Again, told: str, upstream: Path) -> None:
        before = listing(out)
        for commons in (COMMONS, f"{COMMONS}more = 1\n"):
            tiny(upstream, {COMMONS_AT: commons})
            assert told in again.refused()
            assert listing(out) == before

    def test_a_file_that_is_no_python(self, upstream: Path, out: Path, again: Again) -> None:
        (out / "module/tpu/notes.txt").write_text("mine")
        self.check(out, again, "notes.txt is no Python file", upstream)
        assert again.json("--force")["backup"] == str(out / ".backup-1")
        assert (out / ".backup-1/module/tpu/notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["models.py", "mine.py", "below"])
    def test_a_link(self, upstream: Path, out: Path, again: Again, tmp_path: Path, name: str) -> None:
        (tmp_path / "elsewhere").mkdir()
        (out / "module/tpu" / name).unlink(missing_ok=True)
        (out / "module/tpu" / name).symlink_to(tmp_path / "elsewhere")
        self.check(out, again, "a symbolic link", upstream)

    @pytest.mark.parametrize("inside", [True, False])
    def test_a_folder_where_a_file_was(self, upstream: Path, out: Path, again: Again, inside: bool) -> None:
        (out / "module/tpu/models.py").unlink()
        (out / "module/tpu/models.py").mkdir()
        if inside:
            (out / "module/tpu/models.py/mine.py").write_text("mine = 1\n")
        self.check(out, again, "models.py is a folder", upstream)

    def test_a_file_where_a_folder_was(self, upstream: Path, out: Path, again: Again) -> None:
        shutil.rmtree(out / "module/tpu/ops")
        (out / "module/tpu/ops").write_text("mine\n")
        self.check(out, again, "ops is no Python file", upstream)

    def test_a_pipe(self, upstream: Path, out: Path, again: Again) -> None:
        os.mkfifo(out / "module/tpu/mine.py")
        self.check(out, again, "no regular file", upstream)

    @pytest.mark.parametrize("content", [None, b"", b"PK"])
    def test_without_a_usable_base(self, upstream: Path, out: Path, again: Again, content: bytes | None) -> None:
        if content is None:
            (out / "port.base").unlink()
        else:
            (out / "port.base").write_bytes(content)
        change(out / "module/tpu/models.py", "Text in", "Mine in")
        ours = (out / "module/tpu/models.py").read_bytes()
        self.check(out, again, "port.base", upstream)
        assert again.json("--force")["backup"] == str(out / ".backup-1")
        assert (out / ".backup-1/module/tpu/models.py").read_bytes() == ours

    def test_a_base_alone_that_is_lost_is_made_anew(self, out: Path, again: Again) -> None:
        before = snapshot_of(out)
        (out / "port.base").unlink()
        assert again.json()["written"]
        assert snapshot_of(out) == before

    def test_a_package_of_an_older_version(self, out: Path, again: Again) -> None:
        change(out / "port.json", f'"schema": {SCHEMA}', f'"schema": {SCHEMA - 1}')
        assert "--force" in again.refused()
        assert again.json("--force")["backup"] == str(out / ".backup-1")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
    def test_an_unreadable_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            upstream, out = tiny(Path(folder) / "tiny"), Path(folder) / "out"
            assert run("generate", upstream, "--out", out).exit_code == 0
            before = listing(out)
            Path(folder).chmod(0o755)
            (out / "module/tpu/models.py").chmod(0)
            child = os.fork()
            if child == 0:
                os.setuid(65534)
                result = run("generate", upstream, "--out", out)
                told = "models.py" in result.stderr and result.stderr.count("\n") == 1
                os._exit(result.exit_code if told else 99)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
            assert listing(out) == before


class TestInstalled:
    def test_edits_are_merged(self, upstream: Path, rules: Path) -> None:
        arguments = ("generate", upstream, "--rules", rules, "--install")
        run_json(*arguments)
        models = upstream / "GPT_SoVITS/module/tpu/models.py"
        change(models, "torch.swapped(x)", "mine")
        (models.parent / "mine.py").write_text("mine = 1\n")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        own = (upstream / "GPT_SoVITS/module/__init__.py").read_bytes()
        told = run_json(*arguments)
        assert (told["edited_by_hand"], told["added_by_hand"]) == (["module/tpu/models.py"], ["module/tpu/mine.py"])
        assert "mine" in models.read_text()
        assert "Numbers out, text in." in models.read_text()
        assert (upstream / "GPT_SoVITS/module/__init__.py").read_bytes() == own


class TestRaces:
    @pytest.mark.parametrize("name", ["module/tpu/models.py", "module/tpu/mine.py", "module/__init__.py"])
    def test_an_edit_made_while_generate_works_is_merged(
        self, upstream: Path, out: Path, again: Again, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        tiny(upstream, {COMMONS_AT: f"{COMMONS}more = 1\n"})
        write, calls = write_package, 0

        def slow(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                with (out / name).open("a") as file:
                    file.write("mine = 1\n")
            write(*arguments)

        monkeypatch.setattr("porter.generate.write_package", slow)
        told = again.json()
        assert calls == 2
        assert name in told["edited_by_hand"] + told["added_by_hand"]
        assert (out / name).read_text().endswith("mine = 1\n")
        assert "more = 1" in (out / "module/tpu/commons.py").read_text()

    def test_somebody_who_edits_all_the_time_is_told_so(
        self, upstream: Path, out: Path, again: Again, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tiny(upstream, {COMMONS_AT: f"{COMMONS}more = 1\n"})
        write = write_package

        def slow(*arguments: Any) -> None:
            with (out / "module/tpu/models.py").open("a") as file:
                file.write("# mine\n")
            write(*arguments)

        monkeypatch.setattr("porter.generate.write_package", slow)
        assert "were changed while" in again.refused()
        assert (out / "module/tpu/models.py").read_text().endswith("# mine\n# mine\n# mine\n")
        assert "more = 1" not in (out / "module/tpu/commons.py").read_text()


class TestReaders:
    """Tools that read a package take an edited one."""

    def test_validate_reads_it(self, tmp_path: Path, upstream: Path, rules: Path, out: Path, again: Again) -> None:
        change(out / "module/tpu/models.py", "Text in, numbers out.", "Mine.")
        (out / "module/tpu/mine.py").write_text("mine = 1\n")
        tiny(upstream, {MODELS_AT: NEW_MODELS})
        again.json(status=1)
        manifest = read_manifest(out)
        edit = next(e for e in manifest.edits if e.rule == "SYN900")
        assert SourceMap(manifest.edits).locate(edit.target, edit.target_line).rule == "SYN900"
        variants = Variants(open_upstream(str(upstream)), manifest, [rules])
        assert any(c.culprit.rule == "" for c in variants.candidates)
        variants.write(tmp_path / "variant", [])
        assert snapshot_of(tmp_path / "variant/module/tpu") == snapshot_of(out / "module/tpu")


@pytest.mark.parametrize("seed", range(12))
def test_no_edit_is_lost_by_generate(tmp_path: Path, seed: int) -> None:
    found, _ = judge_package(Random(seed), tmp_path)
    assert found == []


def test_five_kills_leave_a_whole_package_with_the_edits(tmp_path: Path, upstream: Path, rules: Path) -> None:
    (tmp_path / "kills").mkdir()
    seen = kill_often(str(upstream), tmp_path / "kills", 5, Random(5), ("--rules", str(rules)), off="SYN900")
    assert seen["neither"] == 0
    assert seen["old"] + seen["new"] == 5
    assert seen["killed after it had ended"] < 5
    recover(Place(tmp_path / "kills/out"))
    assert not list((tmp_path / "kills/out").glob(".port-*"))


def listing(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below `root`: kind and content."""
    return {
        str(path.relative_to(root)): (
            stat.S_IFMT(path.lstat().st_mode),
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
        )
        for path in root.rglob("*")
    }
