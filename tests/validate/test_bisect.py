"""`validate --bisect`: edits by hand and edits of a wrong rule are found and named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs torch (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter.cli import cli
from porter.inputs.upstream import open_upstream
from porter.validate.manifest import read_manifest
from porter.validate.variants import Change, Variants, merged

from .tiny import write_port, write_upstream

CASE = "synthesizer.v2.forward"
WRONG_RULE = '''
import libcst as cst
from porter.rule import Rule, Safety


class LoseTheMask(Rule):
    """Made by a test."""

    code = "BAD001"
    title = "lose the mask"
    safety = Safety.EXACT
    message = "the mask is lost"

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        found = self.match("self.drop(__y) * mask", node)
        if found is not None:
            self.replace(node, self.fill("self.drop(__y)", **found))
'''


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def blame(upstream: Path, port: Path, *options: object) -> dict[str, Any]:
    arguments = ("validate", upstream, port, "--device", "cpu", "--preset", "tiny", "--steps", 0, "--case", CASE)
    status, output, _ = run(*arguments, "--bisect", "--json", *options)
    assert status in (0, 1)
    (case,) = json.loads(output)["cases"]
    assert isinstance(case, dict)
    return case


def edited(port: Path, file: str, old: str, new: str) -> int:
    """Change a file of a package by hand; the line."""
    path = port / "module" / "tpu" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_upstream(tmp_path_factory.mktemp("upstream"))


def generated(upstream: Path, folder: Path, *options: object) -> Path:
    status, _, errors = run("generate", upstream, "--out", folder, *options)
    assert status == 0, errors
    return folder


def test_a_wrong_line_of_a_port_by_hand(upstream: Path, tmp_path: Path) -> None:
    port = write_port(upstream, tmp_path / "port", "self.drop(y) * mask", "self.drop(y)")
    text = (port / "module" / "tpu" / "models.py").read_text()
    line = text[: text.index("return x + self.drop(y)")].count("\n") + 1
    edited(port, "models.py", "def infer(self, y):", "def infer(self, y):\n        assert y is not None")
    case = blame(upstream, port)
    assert case["verdict"] == "mismatch"
    (culprit,) = case["culprits"]
    assert culprit["target"] == f"models.py:{line}"
    assert (culprit["rule"], culprit["reason"]) == ("", "edited by hand since it was generated")


def test_a_wrong_line_in_a_generated_package_among_harmless_ones(upstream: Path, tmp_path: Path) -> None:
    port = generated(upstream, tmp_path / "port")
    edited(port, "models.py", "class Mixer(nn.Module):", "# a note\n\n\nclass Mixer(nn.Module):")
    edited(port, "models.py", "self.conv(x * mask)", "self.conv(mask * x)")
    line = edited(port, "commons.py", "< lengths", "<= lengths")
    case = blame(upstream, port)
    assert [c["target"] for c in case["culprits"]] == [f"commons.py:{line}"]
    assert case["bisected"].startswith("bisecting: cured without 1 edit, after ")


def test_a_wrong_rule_is_named_with_upstream_s_line_and_its_own(upstream: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "lose_the_mask.py").write_text(WRONG_RULE)
    port = generated(upstream, tmp_path / "port", "--rules", rules)
    edits = json.loads((port / "port.json").read_text())["edits"]
    assert {edit["rule"] for edit in edits} > {"BAD001"}  # others, which are right
    (wrong,) = (edit for edit in edits if edit["rule"] == "BAD001")
    case = blame(upstream, port, "--rules", rules, "--html", tmp_path / "page.html")
    assert case["verdict"] == "mismatch"
    page = (tmp_path / "page.html").read_text()
    assert "edit to blame" in page and case["bisected"] in page
    assert case["culprits"] == [
        {
            "rule": "BAD001",
            "upstream": f"GPT_SoVITS/module/models.py:{wrong['line']}",
            "target": f"models.py:{wrong['target_line']}",
            "reason": "the mask is lost",
        }
    ]


def test_other_rules_than_the_package_s_are_refused(upstream: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "lose_the_mask.py").write_text(WRONG_RULE)
    port = generated(upstream, tmp_path / "port", "--rules", rules)
    arguments = ("validate", upstream, port, "--device", "cpu", "--case", CASE, "--bisect")
    assert run(*arguments)[0] == 1  # by the rules that the package was made with
    (rules / "lose_the_mask.py").unlink()
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert "made with other rules" in errors


def test_a_limit_that_is_too_low_is_told(upstream: Path, tmp_path: Path) -> None:
    port = generated(upstream, tmp_path / "port")
    edited(port, "commons.py", "< lengths", "<= lengths")
    edited(port, "models.py", "self.drop(y) * mask", "self.drop(y)")
    case = blame(upstream, port, "--bisect-probes", 1)
    assert "the limit is reached (--bisect-probes)" in case["bisected"]
    assert len(blame(upstream, port)["culprits"]) == 2  # with enough of them, both


def test_without_every_edit_the_package_is_upstream_s_own_code(upstream: Path, tmp_path: Path) -> None:
    port = generated(upstream, tmp_path / "port")
    edited(port, "commons.py", "< lengths", "<= lengths")
    variants = Variants(open_upstream(str(upstream)), read_manifest(port), ())
    variants.write(tmp_path / "all", ())
    package = Path("module") / "tpu"
    for path in (port / package).rglob("*.py"):
        assert (tmp_path / "all" / path.relative_to(port)).read_bytes() == path.read_bytes()
    variants.write(tmp_path / "none", variants.candidates)
    for name in ("commons.py", "models.py"):
        own = (upstream / "GPT_SoVITS" / "module" / name).read_text().splitlines()
        left = (tmp_path / "none" / package / name).read_text().splitlines()
        assert [line for line in own if "import" not in line and line not in left] == []


def test_deep_chains_are_no_obstacle(tmp_path: Path) -> None:
    deep = write_upstream(tmp_path / "upstream")
    path = deep / "GPT_SoVITS" / "module" / "commons.py"
    chain = "".join(f"    elif x == {n}:\n        x = x.cuda()\n" for n in range(400))
    path.write_text(f"{path.read_text()}\n\ndef chosen(x):\n    if x == -1:\n        pass\n{chain}    return x\n")
    port = generated(deep, tmp_path / "port")
    line = edited(port, "commons.py", "< lengths", "<= lengths")
    case = blame(deep, port)
    assert [c["target"] for c in case["culprits"]] == [f"commons.py:{line}"]


def test_where_both_changed_a_line_the_hand_s_change_stays() -> None:
    old = [b"a\n", b"b\n", b"c\n", b"d\n"]
    theirs = [Change("f", 1, 2, (b"B\n",)), Change("f", 3, 4, (b"D\n",))]
    assert merged(old, theirs, [Change("f", 1, 2, (b"x\n", b"y\n"))]) == [b"a\n", b"x\n", b"y\n", b"c\n", b"D\n"]
    assert merged(old, theirs, [Change("f", 0, 0, (b"x\n",))]) == [b"x\n", b"a\n", b"B\n", b"c\n", b"D\n"]
    assert merged(old, theirs, [Change("f", 2, 2, (b"x\n",))]) == [b"a\n", b"b\n", b"x\n", b"c\n", b"D\n"]


def test_flat_sources_that_were_asked_for_are_made_again_as_they_are(tmp_path: Path) -> None:
    shapes = "import torch\n\n\ndef mask(x):\n    return torch.arange(x.size(1)) < x.sum()\n"
    models = (
        "import torch\nimport shapes\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return {}\n"
    )
    root, out = tmp_path / "up", tmp_path / "out"
    for folder, result in (("new", "shapes.mask(x).cuda()"), ("old", "shapes.mask(x).cuda(), x.item()")):
        (root / folder).mkdir(parents=True)
        (root / folder / "models.py").write_text(models.format(result))
        (root / folder / "shapes.py").write_text(shapes)
    made = CliRunner().invoke(cli, ["generate", str(root), "--out", str(out), "--sources", "old"])
    assert made.exit_code in (0, 1), made.output
    Variants(open_upstream(str(root)), read_manifest(out), ()).write(tmp_path / "again", ())
    files = [path.relative_to(out) for path in out.rglob("tpu/*.py")]
    assert Path("module/tpu/shapes.py") in files
    assert [name for name in files if (out / name).read_bytes() != (tmp_path / "again" / name).read_bytes()] == []
