"""Decisions: a text file that lasts, a generate that follows it, and hazards that stay accounted for."""

from __future__ import annotations

import ast
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porter.analysis.project import Project
from porter.changes.decisions import NAME, Decision, What, decision, fingerprint, read
from porter.changes.decisions.applying import _hunks, decide
from porter.changes.decisions.undecided import undecided_hunks
from porter.changes.decisions.writing import write
from porter.changes.hunks import Hunk, hunks_of
from porter.codemod import rulebook
from porter.codemod.engine import rewrite
from porter.errors import PortError
from porter.package.base import read_base
from porter.package.manifest import Manifest
from porter.package.manifest import read as read_manifest
from porter.syntax.loose_names import problem
from tests.tiny_upstream import own_rules, run, run_json, tiny

NOISE = """import torch


class Noise(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 2

    def forward(self, x):
        y = torch.swap_me(x)

        z = torch.randn(3, 4).to(x.device) + y
        print(x.sum())
        return z * self.scale

    def again(self, x):
        return torch.randn(3, 4).to(x.device) + x
"""
PATH = "GPT_SoVITS/module/noise.py"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tiny(tmp_path / "tiny", {PATH: NOISE})


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return own_rules(tmp_path / "rules")


class Port:
    """A package, made again and again."""

    def __init__(self, upstream: Path, rules: Path, out: Path) -> None:
        self.upstream, self.rules, self.out = upstream, rules, out
        self.generate()

    def generate(self, *more: str | Path) -> dict[str, Any]:
        return run_json("generate", self.upstream, "--rules", self.rules, "--out", self.out, *more)

    def refused(self) -> str:
        result = run("generate", self.upstream, "--rules", self.rules, "--out", self.out)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        return result.stderr

    @property
    def manifest(self) -> Manifest:
        manifest = read_manifest(self.out)
        assert manifest is not None
        return manifest

    @property
    def hunks(self) -> list[Hunk]:
        return undecided_hunks(self.manifest, read_base(self.out, self.manifest))

    def hunk(self, scope: str, rule: str) -> Hunk:
        (found,) = (h for h in self.hunks if h.scope == scope and rule in h.rules)
        return found

    def decide(self, *decisions: Decision) -> dict[str, Any]:
        write(self.out / NAME, decisions)
        return self.generate()

    def text(self, name: str = "noise.py") -> str:
        return (self.out / "module/tpu" / name).read_text()


@pytest.fixture
def port(upstream: Path, rules: Path, tmp_path: Path) -> Port:
    return Port(upstream, rules, tmp_path / "out")


def body(text: str) -> str:
    return text.partition("Licence: Tiny License\n\n")[2]


def rebuilt(port: Port) -> str:
    """Upstream's file with the package's own hunks in it, which have to tell all that differs."""
    manifest = port.manifest
    lines = NOISE.splitlines(keepends=True)
    for hunk in sorted(hunks_of(manifest, read_base(port.out, manifest)), key=lambda h: h.line, reverse=True):
        if hunk.target == "noise.py":
            lines[hunk.line - 1 : hunk.line - 1 + len(hunk.old)] = hunk.new
    return "".join(lines)


class TestGenerate:
    def test_rejected_lines_are_upstream_s_and_all_others_stay(self, port: Port) -> None:
        before = port.text()
        hunk = port.hunk("Noise.forward", "SYN900")
        told = port.decide(decision(hunk, "reject"))
        assert port.text() == before.replace("torch.swapped(x)", "torch.swap_me(x)")
        assert told["written"]
        assert told["decisions"] == [
            {
                "key": hunk.key, "what": "reject", "reason": "", "file": PATH, "line": 10, "scope": "Noise.forward",
                "stale": False, "outdated": False,
            }
        ]  # fmt: skip

    def test_any_one_hunk_may_be_rejected_but_imports_that_others_need(self, port: Port) -> None:
        whole = {name: body(port.text(name)) for name in ("noise.py", "models.py", "commons.py")}
        for hunk in port.hunks:
            write(port.out / NAME, [decision(hunk, "reject")])
            if hunk.rules == ("PKG002",):
                assert hunk.key in port.refused()
                continue
            port.generate()
            first, name = hunk.target_line - 1 - 5, hunk.target
            lines = whole[name].splitlines(keepends=True)
            lines[first : first + len(hunk.new)] = hunk.old
            assert body(port.text(name)) == "".join(lines)
            ast.parse(port.text(name))

    def test_a_rejected_hazard_is_residual_once(self, port: Port) -> None:
        before = port.manifest["hazards"]
        swap, noise = port.hunk("Noise.forward", "SYN900"), port.hunk("Noise.again", "RNG001")
        told = port.decide(decision(swap, "reject"), decision(noise, "reject"))["hazards"]
        assert told["fixed"] == before["fixed"] - 2
        back = [(h["code"], h["line"], h["target_line"] - 5) for h in told["list"] if h["status"] == "residual"]
        # The scan knows nothing of SYN900, and sees RNG001's hazard itself.
        assert ("SYN900", 10, 11) in back
        assert [code for code, line, _ in back if line == 17 and code.startswith("RNG")] == ["RNG001"]

    def test_a_reason_waives(self, port: Port) -> None:
        noise = port.hunk("Noise.again", "RNG001")
        told = port.decide(decision(noise, "reject", reason="never on the device"))["hazards"]
        assert told["residual"] == 0
        (waived,) = (h for h in told["list"] if h["code"] == "RNG001" and h["status"] == "waived")
        assert waived["reason"].endswith(": a person decided: never on the device")

    def test_edited_lines_stand_and_edits_behind_them_are_found(self, port: Port) -> None:
        hunk = port.hunk("Noise.forward", "SYN900")
        text = "        # mine\n        # too\n        y = torch.swapped(x) * 1\n"
        told = port.decide(decision(hunk, "edit", text=text))
        lines = port.text().splitlines(keepends=True)
        for edit in told["edits"]:
            if edit["target"] == "noise.py":
                shown = "".join(lines[edit["target_line"] - 1 : edit["target_end_line"]])
                assert {"SYN900": text, "RNG001": "device=", "SYN003": "utils.", "PKG002": "import"}[
                    edit["rule"]
                ] in shown
        assert "".join(h for h in lines).count(text) == 1
        manifest = port.manifest
        assert {h.line for h in hunks_of(manifest, read_base(port.out, manifest))} == {h.line for h in port.hunks}

    def test_a_hazard_that_a_person_wrote_is_residual_and_not_fixed(self, port: Port) -> None:
        hunk = port.hunk("Noise.again", "RNG001")
        text = "        return torch.randn(3, 5).to(x.device) + x\n"
        told = port.decide(decision(hunk, "edit", text=text))["hazards"]
        mine = [(h["code"], h["status"]) for h in told["list"] if h["file"] == PATH and h["line"] == 17]
        assert ("RNG", "residual") in mine
        assert ("RNG001", "fixed") not in mine

    @pytest.mark.parametrize("blank", ["\n", "\n\n", "        # mine\n\n"])
    def test_hunks_are_found_whatever_lines_a_person_adds(self, port: Port, blank: str) -> None:
        hunk = port.hunk("Noise.forward", "RNG001")
        for text in (f"{blank}{''.join(hunk.new)}", f"{''.join(hunk.new)}{blank}", f"{blank}{''.join(hunk.old)}"):
            port.decide(decision(hunk, "edit", text=text))
            assert rebuilt(port) == body(port.text())

    def test_any_decisions_go_with_each_other(self, port: Port) -> None:
        draw = random.Random(0)
        for _ in range(15):
            told = []
            for hunk in port.hunks:
                what = draw.choice(["", "accept", "reject", "edit"])
                if what == "accept" or (what == "reject" and hunk.rules != ("PKG002",)):
                    told.append(decision(hunk, "accept" if what == "accept" else "reject"))
                elif what == "edit":
                    more = "".join(draw.choices(["# mine\n", "\n"], k=draw.randrange(3)))
                    told.append(decision(hunk, "edit", text="".join(hunk.new) + more))
            keys = [h.key for h in port.hunks]
            port.decide(*told)
            assert [h.key for h in port.hunks] == keys
            assert rebuilt(port) == body(port.text())
            manifest = port.manifest
            counts = manifest["hazards"]
            assert sum(counts[s] for s in ("fixed", "waived", "residual")) == len(counts["list"])
            assert sum(manifest["rules"].values()) == len(manifest["edits"])

    def test_what_is_no_python_is_refused_by_name(self, port: Port) -> None:
        hunk = port.hunk("Noise.forward", "SYN900")
        write(port.out / NAME, [decision(hunk, "edit", text="y =\n")])
        before = port.text()
        told = port.refused()
        assert hunk.key in told
        assert "not Python" in told
        assert port.text() == before

    def test_accepting_changes_no_file_of_the_package(self, port: Port) -> None:
        before = port.text()
        assert port.decide(*(decision(h, "accept") for h in port.hunks))["written"]
        assert port.text() == before
        assert not port.generate()["written"]

    def test_a_changed_decision_is_noticed_and_can_be_taken_back(self, port: Port) -> None:
        before = {p: p.read_bytes() for p in port.out.rglob("*") if p.is_file()}
        hunk = port.hunk("Noise.forward", "SYN900")
        assert port.decide(decision(hunk, "reject"))["written"]
        assert not port.generate()["written"]
        (port.out / NAME).unlink()
        assert port.generate()["written"]
        assert {p: p.read_bytes() for p in port.out.rglob("*") if p.is_file()} == before

    def test_a_decision_follows_its_code(self, port: Port) -> None:
        port.decide(decision(port.hunk("Noise.forward", "SYN900"), "reject"))
        moved = NOISE.replace("import torch\n", "import torch\n\nHALF = 0.5\n").replace("swap_me(x)", "swap_me( x )")
        (port.upstream / PATH).write_text(moved)
        told = port.generate()
        assert [d["stale"] for d in told["decisions"]] == [False]
        assert "torch.swap_me( x )" in port.text()

    def test_a_decision_about_code_that_changed_is_stale_and_stays(self, port: Port) -> None:
        port.decide(decision(port.hunk("Noise.forward", "SYN900"), "reject"))
        kept = (port.out / NAME).read_bytes()
        (port.upstream / PATH).write_text(NOISE.replace("swap_me(x)", "swap_me(x + 1)"))
        result = run("generate", port.upstream, "--rules", port.rules, "--out", port.out)
        assert result.exit_code == 0
        assert "is stale" in result.stderr
        assert "torch.swapped(x + 1)" in port.text()
        assert [d["stale"] for d in port.manifest["decisions"]["list"]] == [True]
        assert (port.out / NAME).read_bytes() == kept

    def test_a_decision_about_another_rewrite_is_told(self, port: Port, tmp_path: Path) -> None:
        port.decide(decision(port.hunk("Noise.forward", "SYN900"), "accept"))
        port.rules = own_rules(tmp_path / "newer")
        rule = port.rules / "swap.py"
        rule.write_text(rule.read_text().replace('"torch.swapped"', '"torch.exchanged"'))
        assert [d["outdated"] for d in port.generate()["decisions"]] == [True]

    def test_another_file_of_decisions(self, port: Port, tmp_path: Path) -> None:
        write(tmp_path / "mine.toml", [decision(port.hunk("Noise.forward", "SYN900"), "reject")])
        port.generate("--decisions", tmp_path / "mine.toml")
        assert "torch.swap_me(x)" in port.text()
        result = run("generate", port.upstream, "--out", port.out, "--decisions", tmp_path / "none.toml")
        assert result.exit_code == 0
        assert "none.toml is not there, so nothing is decided" in result.stderr
        assert "torch.swapped(x)" not in port.text()


class TestFile:
    one = Decision("a" * 16, "accept", file="m/b.py", scope="S", rules=("A1",), code='x = "1"')
    two = Decision("b" * 16, "edit", text="    x = 'a'\n", file="m/a.py")
    three = Decision("c" * 16 + ".2", "reject", reason="so", file="m/c.py")

    def test_order_is_that_of_places(self, tmp_path: Path) -> None:
        path = tmp_path / NAME
        for decisions in ((self.three, self.one, self.two), (self.two, self.three, self.one)):
            path.unlink(missing_ok=True)
            for end in range(1, 4):
                write(path, decisions[:end])
            assert read(path) == (self.two, self.one, self.three)
        assert fingerprint((self.one, self.two)) == fingerprint((self.two, self.one))
        assert fingerprint((self.one,)) != fingerprint((replace(self.one, what="reject"),))

    def test_comments_stay(self, tmp_path: Path) -> None:
        path = tmp_path / NAME
        write(path, [self.one, self.two])
        path.write_text(path.read_text().replace('what = "accept"', 'what = "accept" # mine\n# own line'))
        write(path, [replace(self.one, what="reject", reason="why"), self.two, self.three])
        assert 'what = "reject" # mine\n' in path.read_text()
        assert "# own line\n" in path.read_text()
        write(path, [])
        assert read(path) == ()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "'",
            "a'\n",
            "'''",
            '"""',
            "\n\nx\n",
            "x",
            "\\",
            "a\\\nb\n",
            "\r",
            "\"\"\"\n'''\\\t\x07\x7fé\u2028\n",
        ],
    )
    def test_any_text_is_kept(self, tmp_path: Path, text: str) -> None:
        write(tmp_path / NAME, [replace(self.two, text=text)])
        assert read(tmp_path / NAME) == (replace(self.two, text=text),)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("version = ", "damaged"),
            ("version = 2\n", "version 2"),
            ("[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'accept'\n", "version None"),
            ("version = 1\nmore = 1\n", "'more'"),
            ("version = 1\ndecision = 1\n", r"\[\[decision\]\]"),
            ("version = 1\n[[decision]]\nkey = 'A'\nwhat = 'accept'\n", "key"),
            ("version = 1\n[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'maybe'\n", "'maybe'"),
            ("version = 1\n[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = ['accept']\n", "what"),
            ("version = 1\n[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'accept'\nreason = 'x'\n", "reason"),
            ("version = 1\n[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'edit'\n", "text"),
            ("version = 1\n[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'reject'\nwhy = 'x'\n", "'why'"),
            ("version = 1\n" + "[[decision]]\nkey = 'aaaaaaaaaaaaaaaa'\nwhat = 'accept'\n" * 2, "earlier"),
        ],
    )
    def test_damage_is_told_and_nothing_is_written(self, port: Port, content: str, why: str) -> None:
        path = port.out / NAME
        path.write_text(content)
        with pytest.raises(PortError, match=why):
            read(path)
        with pytest.raises(PortError, match=why):
            write(path, [self.one])
        assert NAME in port.refused()
        assert path.read_text() == content


class TestNames:
    def test_what_nothing_binds(self) -> None:
        before = ["import a\n\ndef f(x):\n    return a.g(x)\n", "import a, b\n\ndef f(x):\n    return b.g(x)\n"]
        assert "b" in problem(before, "import a\n\ndef f(x):\n    return b.g(x)\n")
        assert problem(before, "import a\n\ndef f(x):\n    b = x\n    return b\n") == ""
        assert problem(before, "from c import *\n\ndef f(x):\n    return b.g(x)\n") == ""
        assert "not Python" in problem(before, "def f(:\n")

    def test_names_that_upstream_itself_never_binds_are_its_own_affair(self) -> None:
        assert problem(["def f():\n    return lost\n"], "def f():\n    return lost + 1\n") == ""

    def test_attributes_that_nothing_sets(self) -> None:
        kept = "class A:\n    def __init__(self):\n        self.{} = 1\n    def f(self):\n        return self.{}\n"
        before = [kept.format("a", "a"), kept.format("b", "b")]
        assert "self.b" in problem(before, kept.format("a", "b"))
        assert problem(before, kept.format("a", "a")) == ""


SCRIPTED = """import torch


@torch.jit.script
def gate(x, count):
    n = count[0]
    return torch.tanh(x[:, :n]) * torch.sigmoid(x[:, n:])
"""
CALLING = """import torch
from module.gates import gate


class Layer(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        return gate(x, torch.IntTensor([self.width]))
"""


class TestGroups:
    """What means nothing without a rejected rewrite goes with it, as it does with a note."""

    def decided(self, *wanted: tuple[str, What]) -> dict[str, str]:
        files = {"module/gates.py": ("gates.py", SCRIPTED), "module/layers.py": ("layers.py", CALLING)}
        rewrites = rewrite(Project.parse(files), rulebook.load().selected())
        told = [
            decision(hunk, what)
            for rewritten in rewrites.files.values()
            for hunk, _ in _hunks(rewritten)
            for code, what in wanted
            if code in hunk.rules
        ]
        return {path: rewritten.text for path, rewritten in decide(rewrites, told).rewrites.files.items()}

    def test_a_list_is_not_given_to_a_function_that_is_scripted_again(self) -> None:
        texts = self.decided(("JIT001", "reject"))
        assert texts["module/gates.py"] == SCRIPTED
        assert "gate(x, torch.IntTensor([self.width]))" in texts["module/layers.py"]

    def test_the_other_way_round_nothing_else_goes(self) -> None:
        texts = self.decided(("JIT002", "reject"))
        assert "jit" not in texts["module/gates.py"]

    def test_both_wishes_at_once_are_refused(self) -> None:
        with pytest.raises(PortError, match=r"the decision \w+ \(accept module/layers\.py:11\) cannot be followed"):
            self.decided(("JIT001", "reject"), ("JIT002", "accept"))
