"""`rules --test`: the examples of any rule book are tried."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from porter.codemod.examples import trial
from tests.tiny_upstream import run

RULE = '''"""A rule of a user's own."""

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety


class Half{number}(Rule):
    """Multiply instead of dividing."""

    code = "LOW95{number}"
    title = "multiply by a half"
    safety = Safety.EXACT
    message = "a division costs more"
    examples: ClassVar = (
        Example(
            before="def half(x):\\n    return x / 2\\n",
            after="def half(x):\\n    return {wanted}\\n",
            call="half(x)",
            inputs="x = torch.randn(3, 4)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = ("def third(x):\\n    return x / {left}\\n",)

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        if isinstance(node.operator, cst.Divide) and isinstance(node.right, cst.Integer) and node.right.value == "2":
            self.replace(node, self.fill("__x * {by}", x=node.left))
'''


DIVIDES = "x * (0.5 if x.sum().item() is not None else 1)"
DEADLY = "x * exit(3)"
# What the example says comes out, what comes out, and the divisor of the text that looks alike.
BOOK = {
    "as it says": ("x * 0.5", "0.5", "3"),
    "another text": ("0.5 * x", "0.5", "3"),
    "a look-alike that is changed": ("x * 0.5", "0.5", "2"),
    "another value": ("x * 0.500001", "0.500001", "3"),
    "a read of the device": (DIVIDES, DIVIDES.removeprefix("x * "), "3"),
    "the end of the process": (DEADLY, DEADLY.removeprefix("x * "), "3"),
}
CODES = {f"LOW95{number}": name for number, name in enumerate(BOOK)}


def book(folder: Path, names: Iterable[str] = BOOK) -> Path:
    folder.mkdir()
    for number, (name, (wanted, by, left)) in enumerate(BOOK.items()):
        if name in names:
            values = {"{number}": str(number), "{wanted}": wanted, "{by}": by, "{left}": left}
            text = RULE
            for hole, value in values.items():
                text = text.replace(hole, value)
            (folder / f"half_{number}.py").write_text(text)
    return folder


def page_s_rule() -> str:
    """The rule that docs/write-a-rule.md shows."""
    page = Path(__file__).parent.parent / "docs" / "write-a-rule.md"
    text = page.read_text("utf-8")
    return text.partition("<!-- executed by tests/test_rules_tested.py -->\n```python\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = book(tmp_path_factory.mktemp("tried") / "rules")
    (folder / "multiply_by_half.py").write_text(page_s_rule())
    done = run("rules", "--test", "--rules", folder, "--json")
    assert done.exit_code == 1, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    assert {result["rule"] for result in results} == {*CODES, "TPU900"}  # not the tool's own
    return results


@pytest.mark.xla
def test_the_rule_of_the_page(tried: list[dict[str, Any]]) -> None:
    own = [result for result in tried if result["rule"] == "TPU900"]
    assert len(own) >= 5
    assert [result for result in own if not result["passed"]] == []


def failures(tried: list[dict[str, Any]], name: str) -> dict[str, str]:
    """What was found in one rule, by check."""
    return {r["check"]: r["why"] for r in tried if CODES.get(r["rule"]) == name and not r["passed"]}


@pytest.mark.xla
def test_a_rule_that_is_as_it_says(tried: list[dict[str, Any]]) -> None:
    assert failures(tried, "as it says") == {}
    checks = {r["check"] for r in tried if CODES.get(r["rule"]) == "as it says"}
    assert {"rewritten as written", "same values and gradients on the CPU"} <= checks


@pytest.mark.xla
def test_another_text(tried: list[dict[str, Any]]) -> None:
    why = failures(tried, "another text")
    assert why == {"rewritten as written": "line 2 is 'return x * 0.5', not 'return 0.5 * x'"}


@pytest.mark.xla
def test_a_look_alike_that_is_changed(tried: list[dict[str, Any]]) -> None:
    assert set(failures(tried, "a look-alike that is changed")) == {"look-alike left alone"}


@pytest.mark.xla
def test_another_value(tried: list[dict[str, Any]]) -> None:
    why = failures(tried, "another value")
    assert set(why) == {"same values and gradients on the CPU"}
    assert "tensor 1 is not bit-identical" in why["same values and gradients on the CPU"]


@pytest.mark.xla
def test_a_read_of_the_device(tried: list[dict[str, Any]]) -> None:
    assert set(failures(tried, "a read of the device")) == {"one graph on XLA, same values"}


@pytest.mark.xla
def test_an_example_that_ends_the_process(tried: list[dict[str, Any]]) -> None:
    assert failures(tried, "the end of the process") == {"runs to its end": "the process ended with status 3"}


def test_a_rule_without_examples_fails(tmp_path: Path) -> None:
    folder = book(tmp_path / "rules", ["as it says"])
    file = folder / "half_0.py"
    file.write_text(file.read_text().replace("    examples:", "    exmples:").replace("    untouched:", "    unt:"))
    done = run("rules", "--test", "--rules", folder)
    assert done.exit_code == 1
    assert "LOW950 example 1: rewritten as written: the rule has no examples" in done.stdout


def test_a_folder_where_a_code_belongs(tmp_path: Path) -> None:
    done = run("rules", "--test", tmp_path)
    assert done.exit_code == 2
    assert "a folder of rules goes with --rules" in done.stderr


@pytest.mark.parametrize("arguments", [("--test", "NONE1"), ("--test", "--find", "torch.stft")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run("rules", *arguments).exit_code == 2


def test_a_table_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "can_execute", lambda: False)
    names = ["as it says", "a look-alike that is changed"]
    done = run("rules", "--test", "--rules", book(tmp_path / "rules", names))
    assert done.exit_code == 1
    assert "LOW952 look-alike 1: look-alike left alone: line 2" in done.stdout
    assert "second run changes nothing" in done.stdout
    assert "Nothing was executed" in done.stdout
