"""The command `diff`: a patch that git applies, tables, JSON, filters, and a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.tiny_upstream import run, run_json, write_tree

ROOT = Path(__file__).parent.parent.parent
MODELS = """import torch
from torch import nn
from module import commons


class Model(nn.Module):
    def noise(self, x):
        return torch.randn(3, 4).to(x.device) + x

    def middle(self, x):
        a = x + 1
        b = a + 2
        c = b + 3
        d = c + 4
        e = d + 5
        f = e + 6
        g = f + 7
        return commons.half(g)

    def again(self, x):
        y = torch.randn(3, 4).to(x.device) + x
        return y
"""
HALF = "import torch\n\n\ndef half(x):\n    return torch.randn(3, 4).to(x.device) * x / 2"
STRANGE: Mapping[str, bytes] = {
    "module/__init__.py": b"",
    "module/models.py": MODELS.encode(),
    "module/commons.py": HALF.encode(),  # no final line end
    "module/dos.py": HALF.replace("\n", "\r\n").encode(),
    "module/latin.py": b"#!/usr/bin/env python\n# -*- coding: latin-1 -*-\n# caf\xe9\n" + HALF.encode() + b"  # \xfc\n",
    "module/japan.py": "# coding: shift_jis\n# \u8868\u793a\u30bd\n".encode("shift_jis") + HALF.encode() + b"\n",
    "module/marked.py": b"\xef\xbb\xbf" + HALF.encode() + "  # \xfc\n".encode(),
    "module/with space.py": HALF.encode() + b"\n",
    "module/only_read.py": b"X = 1\n",
}


def generated(folder: Path, files: Mapping[str, bytes] = STRANGE) -> tuple[Path, Path]:
    """An upstream, and the folder of its package."""
    upstream, out = write_tree(folder / "upstream", files), folder / "out"
    result = run("generate", upstream, "--out", out)
    assert result.exit_code == 0, result.stderr
    return upstream, out


def without_header(out: Path, name: str) -> bytes:
    """A file of the package as port.json says it is without its header."""
    record = json.loads((out / "port.json").read_bytes())["files"][name]
    content = (out / name).read_bytes()
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    lines = content.removeprefix(mark).splitlines(keepends=True)
    del lines[record["header_at"] : record["header_at"] + record["header_lines"]]
    return mark + b"".join(lines)


def patch(*arguments: str | Path) -> bytes:
    """What the real command writes into a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "porter", "diff", *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def git(folder: Path, *arguments: str, feed: bytes = b"") -> str:
    """Run git there."""
    done = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *arguments], cwd=folder, input=feed, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def edit(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def edited(out: Path) -> None:
    """What people do to a package."""
    package = out / "module" / "tpu"
    edit(package / "models.py", b"        d = c + 4\n", b"        d = c - 4\n        # by hand\n")
    edit(package / "commons.py", b" * x / 2", b" * x / 3\n")
    edit(package / "latin.py", b"# caf\xe9\n", b"")
    edit(package / "marked.py", b"import torch\n", b"import math\n")
    edit(package / "japan.py", b"def half", b"X = 1\n\n\ndef half")
    edit(package / "utils.py", b"import", b"import sys\nimport")
    (package / "mine.py").write_text("MINE = 1\n")
    (package / "only_read.py").unlink()


@pytest.mark.parametrize("by_hand", [False, True])
def test_git_makes_upstream_what_the_package_is(tmp_path: Path, by_hand: bool) -> None:
    upstream, out = generated(tmp_path)
    if by_hand:
        edited(out)
    told = patch(out)
    git(upstream, "init", "--quiet")
    git(upstream, "apply", "-", feed=told)
    for path in STRANGE:
        if not (by_hand and path.endswith("only_read.py")):
            name = path.replace("module/", "module/tpu/", 1)
            assert (upstream / path).read_bytes() == without_header(out, name), path
    assert (upstream / "module/only_read.py").read_bytes() == STRANGE["module/only_read.py"]


def test_a_patch_says_why(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    edited(out)
    told = patch(out).decode("latin-1").splitlines()
    headings = [line for line in told if line.startswith("@@")]
    assert headings and all(line.split("@@", 2)[2].strip() for line in headings)
    assert any("RNG001 (exact): " in line for line in headings)
    assert any(line.endswith("edited by hand") for line in headings)
    before = told[: next(i for i, line in enumerate(told) if line.startswith("diff --git"))]
    assert before == [
        "# added by hand: module/tpu/mine.py",
        "# removed by hand: module/tpu/only_read.py, which is module/only_read.py upstream",
        "# edited by hand, not upstream's: module/tpu/utils.py",
    ]


@pytest.mark.parametrize(
    "chosen",
    [["--rule", "RNG"], ["--rule", "HAND"], ["--rule", "pkg", "--file", "models.py"], ["--file", "module/*s.py"]],
)
def test_a_part_of_the_patch_applies_too(tmp_path: Path, chosen: list[str]) -> None:
    upstream, out = generated(tmp_path)
    edited(out)
    git(upstream, "init", "--quiet")
    whole = run_json("diff", out)
    told = run_json("diff", out, *chosen)
    assert 0 < len(told["hunks"]) < len(whole["hunks"])
    feed = patch(out, *chosen)
    counted = [line.split("\t") for line in git(upstream, "apply", "--numstat", "-", feed=feed).splitlines()]
    assert sum(int(row[0]) for row in counted) == told["all"]["added"]
    assert sum(int(row[1]) for row in counted) == told["all"]["removed"]
    assert {row[2] for row in counted} == set(told["files"])
    git(upstream, "apply", "-", feed=feed)


def test_a_hunk_names_rule_and_hand(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    models = out / "module/tpu/models.py"
    text = models.read_text()
    line = next(line for line in text.splitlines() if "y = " in line)
    models.write_text(text.replace(line, f"{line} + 1"))
    both = run_json("diff", out, "--rule", "HAND")["hunks"]
    assert len(both) == 1
    assert "RNG001" in both[0]["rules"] and both[0]["by_hand"] and both[0]["safety"] == "exact"
    assert both[0]["scope"] == "Model.again"
    assert both[0]["new"] == f"{line} + 1\n"
    assert models.read_text().splitlines()[both[0]["target_line"] - 1] == f"{line} + 1"
    assert MODELS.splitlines()[both[0]["line"] - 1] + "\n" == both[0]["old"]


def test_keys_are_those_of_the_hunks(tmp_path: Path) -> None:
    from porter.changes.hunks import hunks_of
    from porter.package.base import read_base
    from porter.package.manifest import read

    _, out = generated(tmp_path)
    manifest = read(out)
    assert manifest is not None
    expected = {hunk.key: hunk.line for hunk in hunks_of(manifest, read_base(out, manifest))}
    assert {h["key"]: h["line"] for h in run_json("diff", out)["hunks"]} == expected


def test_a_rewrite_taken_back_by_hand_is_told(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    before = run_json("diff", out)
    edit(out / "module/tpu/models.py", without_header(out, "module/tpu/models.py"), MODELS.encode())
    after = run_json("diff", out)
    assert len(after["hunks"]) == len(before["hunks"])
    assert all(h["by_hand"] and h["old"] == h["new"] for h in after["hunks"] if h["file"] == "module/models.py")
    assert b"models.py" not in patch(out)


def test_totals_are_those_of_the_hunks(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    edited(out)
    told = run_json("diff", out)
    shown = run("diff", out, "--stat")
    assert shown.exit_code == 0
    for code, total in told["rules"].items():
        assert total["hunks"] == sum(code in h["rules"] or (code == "HAND" and h["by_hand"]) for h in told["hunks"])
        assert any(line.split()[:1] == [code] and str(total["hunks"]) in line for line in shown.stdout.splitlines())
    for path in told["files"]:
        assert path in shown.stdout
    assert "hunks" not in run_json("diff", out, "--stat")
    assert told["edited_without_upstream"] == ["module/tpu/utils.py"]


def test_an_untouched_upstream_has_no_patch(tmp_path: Path) -> None:
    _, out = generated(tmp_path, {"module/__init__.py": b"", "module/models.py": b"import torch\n"})
    assert patch(out) == b""
    assert run_json("diff", out)["hunks"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "XYZ1"], "no rule whose code begins with 'XYZ1'"),
        (["--file", "nowhere.py"], "no file of upstream or of the package matches 'nowhere.py'"),
        (["--file", "module/tpu/utils.py"], "no counterpart upstream"),
    ],
)
def test_what_nothing_has_is_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    _, out = generated(tmp_path)
    result = run("diff", out, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_no_package_is_one_sentence(tmp_path: Path) -> None:
    result = run("diff", tmp_path)
    assert result.exit_code == 2
    assert "no port.json" in result.stderr


def test_files_are_named_as_a_shell_completes_them(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    names: list[str | Path] = [
        out / "module/tpu/models.py",
        "module/models.py",
        "models.py",
        "module/tpu/models.py",
        "./module/m*s.py",
    ]
    told = [run_json("diff", out, "--file", name)["files"] for name in names]
    assert all(list(files) == ["module/models.py"] for files in told)
    everything = run_json("diff", out)["files"]
    assert run_json("diff", out, "--file", "module")["files"] == everything


def test_a_killed_run_is_finished_first(tmp_path: Path) -> None:
    _, out = generated(tmp_path)
    (out / ".port-write-dead").mkdir()
    run_json("diff", out)
    assert not (out / ".port-write-dead").exists()


def test_on_a_terminal_reasons_stand_above_the_lines(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    _, out = generated(tmp_path)
    edited(out)
    edit(out / "module/tpu/models.py", b"# by hand", b"# \x1b[31mred")
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    child = subprocess.Popen(
        [sys.executable, "-m", "porter", "diff", str(out), "--file", "models.py"],
        stdout=theirs,
        stderr=theirs,
        env={**environment, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait() == 0
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    assert "module/models.py → module/tpu/models.py" in lines[0]
    above = next(i for i, line in enumerate(lines) if "\x1b[36mRNG001\x1b[0m" in line)
    following = next(line for line in lines[above:] if "torch.randn" in line)
    assert following.startswith("\x1b[31m-")
    assert "\x1b[31mred" not in shown.decode() and "[31mred" in shown.decode()


def test_generate_diff_is_the_same_change(tmp_path: Path) -> None:
    files = {name: text for name, text in STRANGE.items() if name in ("module/__init__.py", "module/dos.py")}
    upstream, out = generated(tmp_path, files)
    before = run("generate", upstream, "--diff").stdout.splitlines()
    after = patch(out).decode().splitlines()

    def lines(told: list[str]) -> list[str]:
        return [line for line in told if line[:1] in "+-" and not line.startswith(("---", "+++"))]

    assert lines(before) == lines(after)
