"""Input that nobody would write, and that ends in a package or in one sentence all the same."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libcst as cst
import pytest
from click.testing import CliRunner, Result
from rich.text import Text

from porter.analysis.parsing import parse_file
from porter.cli import cli
from porter.errors import PortError
from porter.inputs.sources.depth import deepest
from porter.inputs.sources.facts import read_facts
from porter.syntax.stack import with_room
from porter.views.console import stdout_console
from porter.views.visible import visible
from tests.tiny_upstream import tiny

_HEAD = "import torch\n\n\ndef f(x):\n"
_TAIL = "\n\ndef g(x):\n    return x.cuda()\n"


def made(folder: Path, text: str) -> Path:
    """An upstream with this file."""
    module = folder / "upstream" / "module"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "x.py").write_text(text)
    return module.parent


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The one sentence that a command ends in."""
    done = run(*arguments)
    assert done.exit_code == 2, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit)
    (line,) = done.stderr.splitlines()
    assert line.startswith("sovits-port: error: ")
    return line


def process(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "porter", *arguments], check=False, **streams)


DEEP: dict[str, Callable[[int], str]] = {
    "elif": lambda n: "    if x:\n        pass\n" + "".join(f"    elif x == {i}:\n        pass\n" for i in range(n)),
    "and": lambda n: f"    return {' and '.join(['x'] * n)}\n",
    "calls": lambda n: f"    return x{'()' * n}\n",
    "attributes": lambda n: f"    return x{'.a' * n}\n",
    "lambda": lambda n: f"    return {'lambda: ' * n}x\n",
    "not": lambda n: f"    return {'not ' * n}x\n",
    "for": lambda n: f"    return [a for a in x{' for a in x' * n}]\n",
    "strings": lambda n: "    return " + "'' \"\" " * (n // 2) + "\n",
}


def _gone() -> dict[str, int]:
    return {}


class TestDepth:
    @pytest.mark.parametrize("kind", DEEP)
    def test_chains_that_python_takes_are_ported(self, kind: str, tmp_path: Path) -> None:
        upstream = made(tmp_path, _HEAD + DEEP[kind](700) + _TAIL)
        assert run("generate", upstream, "--out", tmp_path / "out").exit_code == 0
        emitted = (tmp_path / "out" / "module" / "tpu" / "x.py").read_text()
        assert DEEP[kind](700) in emitted
        assert "x.cuda()" not in emitted
        assert run("diff", tmp_path / "out").exit_code == 0

    @pytest.mark.parametrize("more", ["", '    z = """\n\\\n"""\n    w = x + \\\n\\\n    1\n'])
    def test_a_backslash_alone_between_statements(self, more: str, tmp_path: Path) -> None:
        body = f"def f(x):\n    y = x.cuda()\n\\\n{more}    \\\n    return y.cuda()\n\\\n\nq = 1\n"
        upstream = made(tmp_path, f"import torch\n\\\n\n\n{body}")
        assert run("generate", upstream, "--out", tmp_path / "out").exit_code == 0
        emitted = (tmp_path / "out" / "module" / "tpu" / "x.py").read_text()
        assert emitted.endswith(body.replace(".cuda()", ".to(utils.default_device())"))
        ast.parse(emitted)

    def test_an_edit_at_the_bottom_of_a_chain(self, tmp_path: Path) -> None:
        upstream = made(tmp_path, f"import torch\n\n\ndef f(x):\n    return x.cuda(){'.abs()' * 300}\n")
        assert run("generate", upstream, "--out", tmp_path / "out").exit_code == 0
        emitted = (tmp_path / "out" / "module" / "tpu" / "x.py").read_text()
        assert f"x.to(utils.default_device()){'.abs()' * 300}" in emitted

    @pytest.mark.parametrize("kind", ["elif", "calls", "lambda", "not"])
    def test_what_python_itself_refuses_is_told_with_its_line(self, kind: str) -> None:
        with pytest.raises(PortError, match=r"module/x\.py nests too deeply for Python 3\.\d+ itself .*\(line 5\)"):
            read_facts("module/x.py", _HEAD + DEEP[kind](60_000) + _TAIL)

    def test_the_deepest_line_is_no_long_list(self) -> None:
        text = f"a = [{'1, ' * 5000}]\nb = 1{' + 1' * 300}\n"
        assert deepest(text)[1] == 2

    def test_errors_and_limits_come_back(self) -> None:
        before = sys.getrecursionlimit()
        with pytest.raises(KeyError, match="gone"):
            with_room(lambda: _gone()["gone"])
        assert sys.getrecursionlimit() == before


class TestStreams:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    @pytest.mark.parametrize("arguments", [("rules", "--json"), ("--help",), ("doctor",)])
    def test_a_full_stdout(self, arguments: tuple[str, ...]) -> None:
        with Path("/dev/full").open("w") as full:
            done = process(*arguments, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2
        assert done.stderr.decode().splitlines() == [
            "sovits-port: error: cannot write the output: No space left on device"
        ]

    def test_a_closed_stdout(self) -> None:
        done = subprocess.run(["sh", "-c", f"{sys.executable} -m porter rules >&-"], capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.decode().startswith("sovits-port: error: stdout is closed")

    @pytest.mark.parametrize("text", ["https://[::1", "file://[::1@x", "ssh://[x/y"])
    def test_malformed_urls(self, text: str, tmp_path: Path) -> None:
        assert "is not a URL" in refused("generate", text, "--out", tmp_path / "out")


class TestTerminal:
    def test_what_steers_a_terminal_is_shown(self) -> None:
        assert visible("a\x1b[31mb\x9b\r\u202e\tc\n") == "a\\x1b[31mb\\x9b\\r\\u202e\tc\n"

    def test_rich_prints_nothing_raw(self, capsys: pytest.CaptureFixture[str]) -> None:
        console = stdout_console()
        console.print(Text("a\x1b]0;title\x07\u2066", style="red"), "b\x9b2J")
        told = capsys.readouterr().out
        assert told == "a\\x1b]0;title\\u2066 b\\x9b2J\n"

    def test_names_of_files_in_errors(self, tmp_path: Path) -> None:
        upstream = made(tmp_path, "import torch\n")
        (upstream / "module" / "\x1b[2Jy.py").write_text("def f(:\n")
        assert "\\x1b[2Jy.py is not valid Python" in refused("check", upstream)

    def test_names_that_are_not_utf8(self, tmp_path: Path) -> None:
        upstream = made(tmp_path, _HEAD + "    return x\n" + _TAIL)
        (upstream / "module" / os.fsdecode(b"\xff.py")).write_text(_HEAD + "    return x.cuda()\n")
        out = tmp_path / os.fsdecode(b"out\xfe")
        for arguments in (("generate", upstream, "--out", out), ("diff", out, "--json"), ("status", upstream, out)):
            assert run(*arguments).exit_code == 0


class TestSpecialFiles:
    def test_a_pipe_of_upstream(self, tmp_path: Path) -> None:
        upstream = made(tmp_path, "import torch\n")
        os.mkfifo(upstream / "module" / "y.py")
        assert "module/y.py in upstream is not a regular file" in refused("check", upstream)

    @pytest.mark.parametrize("name", ["port.json", "port.base", "port.decisions.toml"])
    def test_a_pipe_beside_the_package(self, name: str, tmp_path: Path) -> None:
        upstream, out = made(tmp_path, _HEAD + "    return x\n" + _TAIL), tmp_path / "out"
        assert run("generate", upstream, "--out", out).exit_code == 0
        (out / name).unlink(missing_ok=True)
        os.mkfifo(out / name)
        assert "is not a regular file" in refused("review", out, "--list")

    def test_a_link_out_of_the_package(self, tmp_path: Path) -> None:
        upstream, out = made(tmp_path, _HEAD + "    return x\n" + _TAIL), tmp_path / "out"
        assert run("generate", upstream, "--out", out).exit_code == 0
        (out / "port.json").rename(tmp_path / "elsewhere.json")
        (out / "port.json").symlink_to(tmp_path / "elsewhere.json")
        assert "symbolic link that leaves" in refused("diff", out)


class TestOut:
    @pytest.mark.parametrize("place", ["module", "module/below", "module/../module/x", "link"])
    def test_not_into_the_folder_that_is_ported(self, place: str, tmp_path: Path) -> None:
        upstream = made(tmp_path, "import torch\n")
        (upstream / "link").symlink_to(upstream / "module")
        assert "lies in upstream's own folder module" in refused("generate", upstream, "--out", upstream / place)
        assert sorted(path.name for path in (upstream / "module").iterdir()) == ["__init__.py", "x.py"]

    def test_not_to_the_top_of_the_file_system(self, tmp_path: Path) -> None:
        assert "is the top of the file system" in refused("generate", made(tmp_path, "import torch\n"), "--out", "/")


def _edit(told: dict[str, Any]) -> dict[str, Any]:
    found = told["edits"][0]
    assert isinstance(found, dict)
    return found


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another package": lambda told: told.update(package="../elsewhere"),
    "a file above": lambda told: told["files"].update({"module/tpu/../../../x.py": told["files"]["module/tpu/x.py"]}),
    "an absolute file": lambda told: told["files"].update({"/etc/passwd": told["files"]["module/tpu/x.py"]}),
    "upstream above": lambda told: told["files"]["module/tpu/x.py"].update(upstream="../../x.py"),
    "an edit elsewhere": lambda told: _edit(told).update(target="../x.py"),
    "line 0": lambda told: _edit(told).update(line=0),
    "lines out of range": lambda told: _edit(told).update(end_line=10**9),
    "a huge number": lambda told: _edit(told).update(target_end_line=10**300),
    "lines reversed": lambda told: _edit(told).update(line=5, end_line=2),
    "a missing key": lambda told: _edit(told).pop("rule"),
    "a wrong type": lambda told: _edit(told).update(line="1"),
    "an unknown schema": lambda told: told.update(schema=99),
    "no edits": lambda told: told.update(edits=[]),
    "a negative header": lambda told: told["files"]["module/tpu/x.py"].update(header_at=-3),
    "a hazard elsewhere": lambda told: told["hazards"]["list"][0].update(file="/etc/passwd"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_that_was_edited(change: str, tmp_path: Path) -> None:
    upstream, out = made(tmp_path, _HEAD + "    return x\n" + _TAIL), tmp_path / "out"
    assert run("generate", upstream, "--out", out).exit_code == 0
    told = json.loads((out / "port.json").read_bytes())
    CHANGES[change](told)
    (out / "port.json").write_text(json.dumps(told))
    assert "port.json" in refused("diff", out)
    assert "port.json" in refused("review", out, "--list")


_RULE = """import libcst as cst
from porter.rule import Rule, Safety

class X(Rule):
    code = "LOW990"
    title = "t"
    safety = Safety.EXACT
    message = "m"
    def visit_Call(self, node):
        {}
"""
RULES = {
    "raises": (_RULE.format("raise KeyError('k')"), "LOW990 (r.py:10) failed at module/x.py:5: KeyError: 'k'"),
    "recurses": (_RULE.format("self.visit_Call(node)"), "LOW990 (r.py:10) failed at module/x.py:5: RecursionError"),
    "text": (_RULE.format("self.replace(node, 'x')"), "TypeError: str is no node, as `fill` makes one of text"),
    "a hole": (
        _RULE.format("self.fill('f(__y)', x=node)"),
        "(r.py:10) failed at module/x.py:5: TypeError: nothing is given for",
    ),
    "statement": (_RULE.format("self.replace(node, cst.Pass())"), "Call cannot be replaced by Pass"),
    "keyword": (_RULE.format("self.replace(node, cst.Name('class'))"), "left a file that is not Python"),
    "no tree": (_RULE.format("self.replace(node, cst.Name('x').with_changes(value=None))"), "LOW990 (r.py:10)"),
    "leave": (
        _RULE.replace("visit_Call", "leave_Call").format("pass"),
        "X has a method leave_Call, but no node is left",
    ),
    "no node": (_RULE.replace("visit_Call", "visit_Nothing").format("pass"), "names no node of libcst"),
    "no code": (_RULE.replace('code = "LOW990"', "").format("pass"), "the rule X in r.py has no code"),
    "odd code": (_RULE.replace("LOW990", "low 1").format("pass"), "has the code 'low 1'"),
    "odd safety": (_RULE.replace("Safety.EXACT", "'exact'").format("pass"), "has a safety of the type str"),
    "constructor": (_RULE.format("pass") + "    def __init__(self, file):\n        1 / 0\n", "ZeroDivisionError"),
    "syntax": ("def f(:\n", "the rule file r.py cannot be loaded: SyntaxError"),
    "import": ("import nothing_of_the_kind\n", "the rule file r.py cannot be loaded: ModuleNotFoundError"),
    "leaves": ("raise SystemExit(7)\n", "the rule file r.py cannot be loaded: SystemExit"),
    "twice": (_RULE.format("pass") + _RULE.format("pass").replace("X(", "Y("), "two rules have the code LOW990"),
}


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_that_is_wrong(kind: str, tmp_path: Path) -> None:
    text, sentence = RULES[kind]
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "r.py").write_text(text)
    assert sentence in refused("check", made(tmp_path, _HEAD + "    return swap(x)\n"), "--rules", rules)


def test_white_space_that_libcst_does_not_keep(tmp_path: Path) -> None:
    text = _HEAD + "    try:\n        return x.cuda()\n    except ValueError :\n        return x\n"
    upstream, out = made(tmp_path, text), tmp_path / "out"
    assert run("generate", upstream, "--out", out).exit_code == 0
    assert "    except ValueError :\n" in (out / "module" / "tpu" / "x.py").read_text()
    told = json.loads(run("diff", out, "--json").stdout)
    assert all("except" not in line for hunk in told["hunks"] for line in hunk["old"].splitlines()[-1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--config", "PIPE", "check"),
        ("validate", "UPSTREAM", "--reference", "PIPE"),
        ("buckets", ".", "--config", "PIPE"),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_not_opened(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    places = {"PIPE": str(pipe), "UPSTREAM": str(tiny(tmp_path / "tiny"))}
    result = run(*(places.get(one, one) for one in arguments))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert "is not a regular file, so it is not read" in result.stderr


@pytest.mark.parametrize("text", ["x = 1\n", "x = 1 +\n"])
def test_parsing_leaves_the_check_of_nodes_that_are_made_by_hand(text: str) -> None:
    with contextlib.suppress(PortError):
        parse_file("a.py", text)
    with pytest.raises(cst.CSTValidationError):
        cst.Name("")
