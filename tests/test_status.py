"""`status`, and the summary of `generate`: what changed, why, and what became of each rewrite and hazard."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.explained import disagreements
from porter.changes.packages.changes import RewriteChanges
from porter.changes.packages.code import difference, normal
from porter.changes.packages.compare import compare
from porter.package.base import Base, read_base
from porter.package.manifest import Manifest, read
from porter.views.plain import plain
from tests.tiny_upstream import COMMONS, MODELS, SYNC, own_rules, run, run_json, snapshot_of, tiny

MODULE = "GPT_SoVITS/module"

# Three equal rewrites in one function, one in another.
THRICE = """import torch


def first(x):
    x = torch.swap_me(x)
    x = torch.swap_me(x)
    x = torch.swap_me(x)
    return x


def second(y, z):
    return torch.swap_me(y, z, 'a') + 1
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tiny(tmp_path / "tiny", {f"{MODULE}/thrice.py": THRICE})


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return own_rules(tmp_path / "rules")


@pytest.fixture
def out(tmp_path: Path, upstream: Path, rules: Path) -> Path:
    """A package of the small upstream."""
    result = run("generate", upstream, "--rules", rules, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "out"


@pytest.fixture
def status(upstream: Path, rules: Path, out: Path) -> Any:
    """A function that runs status --json and expects an exit status."""
    return lambda code=1: run_json("status", upstream, out, "--rules", rules, status=code)


def change(upstream: Path, name: str, *pairs: tuple[str, str]) -> None:
    """Replace text in a file of upstream's module."""
    path = upstream / MODULE / name
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def load(out: Path) -> tuple[Manifest, Base]:
    manifest = read(out)
    assert manifest is not None
    return manifest, read_base(out, manifest)


def generated(upstream: Path, rules: Path, out: Path) -> dict[str, Any]:
    """The changes that generating over `out` tells, checked against a diff of the two packages."""
    old = load(out)
    told = run_json("generate", upstream, "--rules", rules, "--out", out)
    new = load(out)
    changes = compare(old, new)
    assert json.loads(json.dumps(plain(changes))) == told["changes"]
    lines, _, wrong = disagreements(changes, old, new)
    assert wrong == []
    assert lines or told["changes"]["package"] == []
    return dict(told["changes"])


class TestUpToDate:
    def test_nothing_is_parsed_or_written(
        self, upstream: Path, rules: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError

        monkeypatch.setattr("libcst.parse_module", refuse)
        monkeypatch.setattr("ast.parse", refuse)
        before = snapshot_of(out)
        result = run("status", upstream, out, "--rules", rules)
        assert result.exit_code == 0, result.stderr
        assert "up to date" in result.stdout
        assert snapshot_of(out) == before

    def test_json(self, status: Any, out: Path) -> None:
        told = status(0)
        assert told["package"] == str(out / "module/tpu")
        assert (told["stale"], told["changes"], told["edited_by_hand"], told["missing"]) == (False, None, [], [])

    def test_options_are_those_of_the_package(self, upstream: Path, tmp_path: Path) -> None:
        run("generate", upstream, "--out", tmp_path / "less", "--ignore", "RNG", "--select", "SYN,RNG")
        assert run("status", upstream, tmp_path / "less").exit_code == 0

    def test_an_installed_package(self, upstream: Path) -> None:
        assert run("generate", upstream, "--install").exit_code == 0
        assert run("status", upstream, upstream / "GPT_SoVITS").exit_code == 0


class TestFilesOnDisk:
    def test_hand_edits_alone_are_told_and_are_fine(self, status: Any, out: Path) -> None:
        (out / "module/tpu/commons.py").write_text("mine\n")
        (out / "module/tpu/own.py").write_text("mine\n")
        told = status(0)
        assert told["edited_by_hand"] == ["module/tpu/commons.py", "module/tpu/own.py"]
        assert not told["stale"]

    @pytest.mark.parametrize("name", ["module/tpu/commons.py", "module/__init__.py", "port.base"])
    def test_missing_files_are_stale(self, status: Any, out: Path, name: str) -> None:
        (out / name).unlink()
        told = status(1)
        assert (told["missing"], told["edited_by_hand"], told["changes"]) == ([name], [], None)

    def test_hand_edits_do_not_hide_what_upstream_did(self, upstream: Path, status: Any, out: Path) -> None:
        (out / "module/tpu/commons.py").write_text("mine\n")
        change(upstream, "commons.py", ("* 2", "* 3"))
        told = status()
        assert told["edited_by_hand"] == ["module/tpu/commons.py"]
        assert [f["file"] for f in told["changes"]["upstream"]] == [f"{MODULE}/commons.py"]


class TestUpstream:
    @pytest.mark.parametrize(
        ("pairs", "kind"),
        [
            ([("torch.swap_me(y, z, 'a') + 1", 'torch.swap_me(\n        y, z, "a",\n    ) + 1')], "reformatted"),
            ([("import torch\n", "import torch\n# a word\n")], "comments"),
            ([("+ 1", "+ 2")], "changed"),
        ],
    )
    def test_how_much_a_file_changed(
        self, upstream: Path, status: Any, pairs: list[tuple[str, str]], kind: str
    ) -> None:
        change(upstream, "thrice.py", *pairs)
        (told,) = status()["changes"]["upstream"]
        assert (told["file"], told["kind"]) == (f"{MODULE}/thrice.py", kind)
        assert told["added"] > 0

    def test_layout_changes_no_rewrite(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("torch.swap_me(y, z, 'a') + 1", '(torch.swap_me(\n  y, z, "a",\n    ) + 1)'))
        change(upstream, "models.py", ("class TextEncoder", "\n\nclass TextEncoder"))
        made = generated(upstream, rules, out)["rewrites"]
        assert (made["new"], made["gone"], made["changed"]) == ([], [], [])
        assert len(made["moved"]) == 1

    def test_files_come_and_go(self, upstream: Path, rules: Path, out: Path) -> None:
        (upstream / MODULE / "thrice.py").unlink()
        (upstream / MODULE / "fresh.py").write_text(COMMONS)
        changes = generated(upstream, rules, out)
        assert {(f["file"].rpartition("/")[2], f["kind"]) for f in changes["upstream"]} == {
            ("thrice.py", "removed"),
            ("fresh.py", "added"),
        }
        assert {("module/tpu/thrice.py", "removed"), ("module/tpu/fresh.py", "added")} <= {
            (f["file"], f["kind"]) for f in changes["package"]
        }
        made = changes["rewrites"]
        assert {r["file"] for r in made["new"]} == {f"{MODULE}/fresh.py"}
        assert len(made["gone"]) == 4

    def test_the_folder_moved(self, upstream: Path, rules: Path, out: Path) -> None:
        (upstream / "GPT_SoVITS").rename(upstream / "renamed")
        changes = generated(upstream, rules, out)
        assert {f["kind"] for f in changes["upstream"]} == {"renamed"}
        assert changes["rewrites"]["new"] == changes["rewrites"]["gone"] == []

    def test_imported_files(self, upstream: Path, status: Any) -> None:
        (upstream / "GPT_SoVITS/text/__init__.py").write_text("symbols = ['b']\n")
        changes = status()["changes"]
        assert changes["upstream"] == []
        assert [(f["file"], f["kind"]) for f in changes["consulted"]] == [("GPT_SoVITS/text/__init__.py", "changed")]

    def test_only_the_revision(self, upstream: Path, rules: Path, out: Path) -> None:
        git = ["git", "-C", str(upstream), "-c", "user.name=t", "-c", "user.email=t@t.invalid"]
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
            subprocess.run([*git, *arguments], check=True)
        changes = generated(upstream, rules, out)
        assert [fact["name"] for fact in changes["facts"]] == ["revision"]
        assert {f["kind"] for f in changes["package"]} == {"header"}
        assert changes["upstream"] == []


class TestRewrites:
    def test_of_equal_ones_the_one_whose_line_went_is_gone(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("    x = torch.swap_me(x)\n", "    x = x + 1\n"))
        made = generated(upstream, rules, out)["rewrites"]
        assert [(r["rule"], r["line"], r["scope"]) for r in made["gone"]] == [("SYN900", 5, "first")]
        assert (made["new"], made["changed"], made["moved"]) == ([], [], [])

    def test_new(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("    return x\n", "    x = torch.swap_me(x, other=4)\n    return x\n"))
        made = generated(upstream, rules, out)["rewrites"]
        assert [(r["rule"], r["line"]) for r in made["new"]] == [("SYN900", 8)]
        assert [(m["before"]["line"], m["after"]["line"]) for m in made["moved"]] == [(12, 13)]
        assert made["gone"] == []

    def test_upstream_edited_the_code(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("swap_me(y, z, 'a')", "swap_me(y, z, 'b')"))
        made = generated(upstream, rules, out)["rewrites"]
        assert [(c["after"]["line"], c["why"]) for c in made["changed"]] == [(12, "upstream")]
        assert (made["new"], made["gone"]) == ([], [])

    def test_the_only_one_of_a_function_stays_the_same_one(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("swap_me(y, z, 'a')", "swap_me(*[0 for _ in range(9)], key={1: 2, 3: 4})"))
        made = generated(upstream, rules, out)["rewrites"]
        assert [(c["after"]["line"], c["why"]) for c in made["changed"]] == [(12, "upstream")]
        assert (made["new"], made["gone"]) == ([], [])

    def test_to_another_function(self, upstream: Path, rules: Path, out: Path) -> None:
        change(upstream, "thrice.py", ("def second", "def other"))
        made = generated(upstream, rules, out)["rewrites"]
        assert made["changed"] == made["new"] == made["gone"] == []
        (moved,) = made["moved"]
        assert (moved["before"]["scope"], moved["after"]["scope"]) == ("second", "other")

    def test_a_rule_that_writes_something_else(self, upstream: Path, rules: Path, out: Path) -> None:
        path = rules / "swap.py"
        path.write_text(path.read_text().replace('"torch.swapped"', '"torch.swopped"'))
        path.rename(rules / "swop.py")  # or the old one would still be loaded in this process
        changes = generated(upstream, rules, out)
        assert changes["upstream"] == []
        assert [fact["name"] for fact in changes["facts"]] == ["rulebook"]
        assert {c["why"] for c in changes["rewrites"]["changed"]} == {"written"}
        assert len(changes["rewrites"]["changed"]) == 6

    def test_rules_at_work(self, upstream: Path, out: Path) -> None:
        out.rename(out.with_name("elsewhere"))  # where nobody knows with which --rules it was made
        out = out.with_name("elsewhere")
        told = run_json("status", upstream, out, status=1)
        assert told["changes"]["rules_gone"] == ["SYN900"]
        assert len(told["changes"]["rewrites"]["gone"]) == 6
        assert "--rules" in run("status", upstream, out).stdout


class TestHazards:
    def test_one_that_no_rule_knew(self, upstream: Path, rules: Path, out: Path) -> None:
        (upstream / MODULE / "sync.py").write_text(SYNC)
        told = run("status", upstream, out, "--rules", rules)
        assert "Hazards that no rule knows (1)" in told.stdout
        assert f"{MODULE}/sync.py:6" in told.stdout
        (hazard,) = generated(upstream, rules, out)["hazards"]["new"]
        assert (hazard["line"], hazard["status"], hazard["before"], hazard["scope"]) == (
            6,
            "residual",
            "",
            "Net.forward",
        )

    def test_one_that_moved_is_not_news(self, upstream: Path, rules: Path, out: Path) -> None:
        (upstream / MODULE / "sync.py").write_text(SYNC)
        generated(upstream, rules, out)
        (upstream / MODULE / "sync.py").write_text(SYNC.replace("import torch\n", "import torch\n\nA = 1\n"))
        changes = generated(upstream, rules, out)
        assert changes["hazards"] == {"new": [], "gone": []}
        (upstream / MODULE / "sync.py").unlink()
        (hazard,) = generated(upstream, rules, out)["hazards"]["gone"]
        assert hazard["line"] == 8


class TestUnusable:
    @pytest.mark.parametrize("folder", ["nowhere", "tiny"])
    def test_no_package(self, upstream: Path, folder: str) -> None:
        result = run("status", upstream, upstream.parent / folder)
        assert result.exit_code == 2
        assert "port.json" in result.stderr and result.stdout == ""

    def test_a_broken_upstream(self, upstream: Path, out: Path) -> None:
        (upstream / MODULE / "bad.py").write_text("def f(:\n")
        result = run("status", upstream, out)
        assert result.exit_code == 2
        assert "bad.py" in result.stderr

    def test_nothing_to_compare_with(self, upstream: Path, rules: Path, out: Path) -> None:
        (out / "port.base").write_bytes(b"x")
        change(upstream, "commons.py", ("* 2", "* 3"))
        assert run("status", upstream, out, "--rules", rules).exit_code == 2
        assert run("generate", upstream, "--rules", rules, "--out", out, "--force").exit_code == 0
        assert run("status", upstream, out, "--rules", rules).exit_code == 0


class TestView:
    def test_one_screen(self, upstream: Path, rules: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(40):
            (upstream / MODULE / f"net{number}.py").write_text(f"{THRICE}\n\n{SYNC}")
        change(upstream, "thrice.py", ("swap_me(y, z, 'a')", "swap_me(y, z, 'b')"))
        monkeypatch.setenv("COLUMNS", "120")
        told = run("status", upstream, out, "--rules", rules).stdout
        assert len(told.splitlines()) < 45
        assert "and 35 more" in told
        assert "1 changed, 40 added" in told
        again = run("generate", upstream, "--rules", rules, "--out", out).stdout
        assert "1 changed, 40 added" in again
        assert len(again.splitlines()) < 60

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_any_width(
        self, upstream: Path, rules: Path, out: Path, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change(upstream, "thrice.py", ("+ 1", "+ torch.swap_me([y])"))
        monkeypatch.setenv("COLUMNS", str(width))
        told = run("status", upstream, out, "--rules", rules).stdout
        assert "1 new" in told and "thrice" in told
        assert all(len(line) <= width for line in told.splitlines()[1:])


class TestSecondOpinion:
    """The bench that judges summaries sees one that hides something."""

    def test_a_hidden_rewrite(self, upstream: Path, rules: Path, out: Path) -> None:
        old = load(out)
        (rules / "swap.py").rename(rules / "_swap.py")
        run("generate", upstream, "--rules", rules, "--out", out)
        new = load(out)
        changes = compare(old, new)
        assert disagreements(changes, old, new)[2] == []
        made = changes.rewrites
        hidden = RewriteChanges(made.new, made.gone[1:], made.changed, made.moved, made.kept + 1)
        wrong = disagreements(_with(changes, rewrites=hidden), old, new)[2]
        assert any("nothing tells of line" in said for said in wrong)

    def test_a_hidden_file(self, upstream: Path, rules: Path, out: Path) -> None:
        old = load(out)
        change(upstream, "commons.py", ("* 2", "* 3"))
        run("generate", upstream, "--rules", rules, "--out", out)
        new = load(out)
        assert disagreements(_with(compare(old, new), upstream=()), old, new)[2]
        assert disagreements(_with(compare(old, new), package=()), old, new)[2]


def _with(changes: Any, **others: Any) -> Any:
    from dataclasses import replace

    return replace(changes, **others)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("x = 1\n", "x = 1\n", "same"),
        ("x = 'a'\n", 'x = ("a")\n', "reformatted"),
        ("x = 1\n", "x = 1\r\n", "reformatted"),
        ("x = 1 #a\n", "x = 1  # a\n", "reformatted"),
        ("x = 1  # a\n", "x = 1  # b\n", "comments"),
        ("x = 1\n", "x = 1.0\n", "changed"),
        ('def f():\n  """A.\n\n  B."""\n', 'def f():\n    """A.\n\n    B.\n    """\n', "reformatted"),
        ('def f():\n  """A."""\n', 'def f():\n  """B."""\n', "changed"),
        ("x = '''a\n  b'''\n", "x = '''a\n b'''\n", "changed"),
        ("def f(:\n", "def f( :\n", "changed"),
    ],
)
def test_difference(before: str, after: str, kind: str) -> None:
    assert difference(before.encode(), after.encode()) == kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f(a, 'b')", 'f(\n    a,\n    "b",\n)'),
        ("    if x:\n        y = (1)  # z\n", "  if x:\n     y = 1\n"),
        ("a +\\\n b", "a + b"),
        ("*a, b", "*a,b"),
        ("else: x", "else:x"),
    ],
)
def test_normal_code(one: str, other: str) -> None:
    assert normal(one) == normal(other)


def test_code_too_deep_for_python() -> None:
    deep = "1" + " + 1" * 20000
    assert normal(f"{deep}\n") == normal(deep.replace(" ", ""))
    assert difference(f"x = {deep}\n".encode(), f"x = {deep}+1\n".encode()) == "changed"


def test_normal_code_keeps_what_counts() -> None:
    assert normal("f(a)") != normal("f(b)")
    assert normal("'a b'") != normal("'ab'")
    assert normal(MODELS) != MODELS
