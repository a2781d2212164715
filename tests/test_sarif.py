"""SARIF logs: their form, what becomes of a hazard, and names that outlive moved lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from porter.codemod.rulebook import FAMILIES
from porter.package.manifest import UpstreamRecord
from porter.views.families import ABOUT
from porter.views.sarif import About, Finding, Waiver, sarif_log
from tests.sarif_form import complaints
from tests.tiny_upstream import SYNC, own_rules, run, tiny

PATH = "GPT_SoVITS/module/sync.py"
# A wait when the module is built, an operator that a note keeps, a note for nothing, and a wait in each step.
MIXED = """import torch


class Net(torch.nn.Module):
    def __init__(self, x):
        super().__init__()
        self.size = x.sum().item()

    def forward(self, x):
        b = torch.nn.functional.interpolate(x, scale_factor=2)  # port: ignore[LOW]
        c = 1  # port: ignore[RNG]
        return b[c] if x.sum() > 0 else x
"""


def log_of(root: Path, *more: str | Path, status: int = 0) -> dict[str, Any]:
    result = run("check", root, "--sarif", *more)
    assert result.exit_code == status, result.stderr
    log = json.loads(result.stdout)
    assert isinstance(log, dict)
    assert complaints(log) == []
    return log


def results_of(log: dict[str, Any]) -> list[dict[str, Any]]:
    results = log["runs"][0]["results"]
    assert isinstance(results, list)
    return results


def lines_of(results: list[dict[str, Any]]) -> list[int]:
    return [r["locations"][0]["physicalLocation"]["region"]["startLine"] for r in results]


def names_of(root: Path, text: str) -> dict[str, set[str]]:
    """Fingerprints of the residual hazards of a file with this text, by rule."""
    names: dict[str, set[str]] = {}
    for result in results_of(log_of(tiny(root, {PATH: text}), status=1)):
        if result["level"] == "error":
            names.setdefault(result["ruleId"], set()).add(result["partialFingerprints"]["primaryLocationLineHash"])
    return names


class TestCheck:
    def test_residual_waived_and_unused(self, tmp_path: Path) -> None:
        results = results_of(log_of(tiny(tmp_path / "tiny", {PATH: MIXED}), status=1))
        assert {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results} == {PATH}
        assert [(r["ruleId"], r["level"]) for r in results] == [
            ("SYN", "note"),
            ("LOW", "note"),
            ("unused-ignore", "warning"),
            ("SYN", "error"),
        ]
        assert lines_of(results) == [7, 10, 11, 12]
        built, noted, _, residual = results
        assert "suppressions" not in residual
        assert built["suppressions"][0]["kind"] == "external"
        assert "built" in built["suppressions"][0]["justification"]
        assert noted["suppressions"][0]["kind"] == "inSource"
        assert "waits for the device" in residual["message"]["text"]

    def test_nothing_residual(self, tmp_path: Path) -> None:
        log = log_of(tiny(tmp_path / "tiny"), "--rules", own_rules(tmp_path / "rules"))
        assert results_of(log) == []
        rules = {rule["id"]: rule for rule in log["runs"][0]["tool"]["driver"]["rules"]}
        assert set(FAMILIES) < set(rules)
        assert rules["SYN"]["defaultConfiguration"]["level"] == "error"
        assert "SYN001" in rules["SYN"]["help"]["text"]
        assert "SYN900" in rules["SYN"]["help"]["markdown"]

    def test_fixed_ones_when_asked_for(self, tmp_path: Path) -> None:
        log = log_of(tiny(tmp_path / "tiny"), "--rules", own_rules(tmp_path / "rules"), "--all")
        assert [(r["ruleId"], r["kind"]) for r in results_of(log)] == [("SYN900", "pass")] * 2
        rules = {rule["id"]: rule for rule in log["runs"][0]["tool"]["driver"]["rules"]}
        assert "no library has" in rules["SYN900"]["fullDescription"]["text"]

    def test_no_path_of_this_machine(self, tmp_path: Path) -> None:
        log = log_of(tiny(tmp_path / "tiny", {PATH: MIXED}), status=1)
        assert str(tmp_path) not in json.dumps(log)

    def test_one_format_only(self, tmp_path: Path) -> None:
        result = run("check", tiny(tmp_path / "tiny"), "--sarif", "--json")
        assert result.exit_code == 2
        assert "both print to stdout" in json.loads(result.stdout)["error"]["message"]
        assert result.stderr == "sovits-port: error: --json and --sarif both print to stdout; give one of them\n"


class TestNames:
    @pytest.fixture
    def names(self, tmp_path: Path) -> dict[str, set[str]]:
        return names_of(tmp_path / "first", SYNC)

    @pytest.mark.parametrize(
        "text",
        [
            "# one\n# two\n\n" + SYNC,
            SYNC.replace("class Net", "def other(y):\n    return y\n\n\nclass Net"),
            SYNC.replace("x.sum()", "x.sum(\n        )"),
        ],
    )
    def test_moved_or_broken_anew(self, names: dict[str, set[str]], tmp_path: Path, text: str) -> None:
        assert text != SYNC
        assert names_of(tmp_path / "second", text) == names

    @pytest.mark.parametrize(
        "text", [SYNC.replace("x.sum", "x.mean"), SYNC.replace("Net", "Web"), SYNC.replace("forward", "backward")]
    )
    def test_other_code(self, names: dict[str, set[str]], tmp_path: Path, text: str) -> None:
        assert not names_of(tmp_path / "second", text)["SYN"] & names["SYN"]

    def test_equal_lines(self, tmp_path: Path) -> None:
        text = SYNC.replace("        return", "        y = x.sum().item()\n        y = x.sum().item()\n        return")
        assert len(names_of(tmp_path / "tiny", text)["SYN"]) == 3


class TestLog:
    UPSTREAM: ClassVar[UpstreamRecord] = {
        "spec": "tiny", "revision": "", "module": "module", "licence": "", "shape": ""
    }  # fmt: skip
    RULE = About("SYN", "title", "what", "error", "help")

    def log(self, *findings: Finding, rules: tuple[About, ...] = (RULE,)) -> dict[str, Any]:
        return sarif_log("status", findings, rules, self.UPSTREAM)

    def test_regions_count_columns_from_one(self) -> None:
        log = self.log(Finding("SYN", "warning", "m", "a b/ü.py", 3, 5, 0, 7, "f:1", Waiver("why", in_source=True)))
        assert complaints(log) == []
        place = results_of(log)[0]["locations"][0]["physicalLocation"]
        assert place["region"] == {"startLine": 3, "startColumn": 1, "endLine": 5, "endColumn": 8}
        assert place["artifactLocation"]["uri"] == "a%20b/%C3%BC.py"
        assert log["runs"][0]["automationDetails"]["id"] == "sovits-port/status/"

    @pytest.mark.parametrize("rules", [(), (RULE, RULE)])
    def test_rules_that_do_not_fit(self, rules: tuple[About, ...]) -> None:
        with pytest.raises(ValueError):
            self.log(Finding("SYN", "error", "m", "a.py"), rules=rules)

    def test_the_form_is_strict(self) -> None:
        log = self.log(Finding("SYN", "error", "m", "a.py"))
        assert complaints(log) == []
        result = results_of(log)[0]
        wrong: list[dict[str, Any]] = [
            {"level": "bad"},
            {"extra": 1},
            {"ruleIndex": -1},
            {"message": {}},
            {"kind": "pass"},
        ]
        for amiss in wrong:
            log["runs"][0]["results"] = [{**result, **amiss}]
            assert complaints(log) != [], amiss


def test_every_family_is_told() -> None:
    assert set(ABOUT) == set(FAMILIES)
    assert all(text.endswith(".") for text in ABOUT.values())
