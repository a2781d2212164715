"""`rules --find`: what is done with a name."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from porter.cli import cli
from porter.codemod import rulebook
from porter.errors import PortError
from porter.hazards.named import find
from porter.validate.cases import TITLES
from tests.tiny_upstream import run, run_json

RULES = rulebook.load().rules


@pytest.mark.parametrize(
    ("name", "full", "family", "code"),
    [
        ("torch.stft", "torch.stft", "LOW", "LOW003"),
        ("torch.functional.stft", "torch.stft", "LOW", "LOW003"),  # another name of the same
        ("F.interpolate", "torch.nn.functional.interpolate", "LOW", "LOW001"),
        ("Tensor.item", "torch.Tensor.item", "SYN", "SYN001"),
    ],
)
def test_hazard_and_rule(name: str, full: str, family: str, code: str) -> None:
    found = find(name, RULES)
    assert found.name == full
    assert family in {hazard for hazard, _ in found.hazards}
    assert code in {use.rule.code for use in found.uses}


def test_an_edit_that_keeps_the_name_is_none_of_it() -> None:
    # Many examples compute with torch.relu inside of what a rule changes; only one rule changes relu itself.
    assert {use.rule.code for use in find("torch.relu", RULES).uses} == {"TPU006"}


def test_what_nobody_changes() -> None:
    assert find("torch.Tensor.masked_fill_", RULES).uses == ()


@pytest.mark.parametrize(("name", "meant"), [("torch.stfft", "torch.stft"), ("interpolate", "functional.interpolate")])
def test_an_unknown_name(name: str, meant: str) -> None:
    with pytest.raises(PortError, match=f"torch has no '{name}'; did you mean .*{meant}"):
        find(name, RULES)


def test_told() -> None:
    told = run("rules", "--find", "torch.stft").stdout
    assert "LOW003" in told
    assert "+ops.stft" in told
    as_json = run_json("rules", "--find", "torch.stft")
    assert [rule["after"] for rule in as_json["rules"]] == ["ops.stft"]
    refused = run("rules", "LOW003", "--find", "torch.stft")
    assert refused.exit_code == 2


def test_a_mistyped_command() -> None:
    refused = run("genrate")
    assert refused.exit_code == 2
    assert "did you mean generate?" in refused.stderr


@pytest.mark.parametrize(("typed", "completed"), [("RNG", "RNG001"), ("SYN,lo", "SYN,LOW003"), ("LOW", "LOW")])
def test_a_shell_completes_codes(typed: str, completed: str) -> None:
    shell = ShellComplete(cli, {}, "sovits-port", "_SOVITS_PORT_COMPLETE")
    for arguments in (["generate", "--select"], ["rules"], ["diff", "--rule"], ["review", "--rule"]):
        assert completed in {item.value for item in shell.get_completions(arguments, typed)}


@pytest.mark.parametrize("command", ["validate", "record", "bench", "estimate"])
def test_a_shell_completes_cases(command: str) -> None:
    shell = ShellComplete(cli, {}, "sovits-port", "_SOVITS_PORT_COMPLETE")
    found = shell.get_completions([command, "--case"], "synthesizer.v2.")
    assert {item.value for item in found} == {name for name in TITLES if name.startswith("synthesizer.v2.")} != set()
    assert all(item.help for item in found)
