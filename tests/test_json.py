"""What --json prints has the documented form, and the documents are made of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from porter.answers import ANSWERS
from porter.cli.output import SCHEMA
from porter.estimate.as_json import to_json as estimated
from porter.validate.as_json import to_json as validated
from porter.validate.bench.as_json import to_json as benched
from porter.views.plain import plain
from tests.estimate import made_up as made_up_estimate
from tests.json_form import check
from tests.tiny_upstream import own_rules, run, run_json, tiny
from tests.validate import made_up, test_bench
from tools.json_reference import files, schema_of

DOCS = Path(__file__).parent.parent / "docs"


def as_printed(command: str, told: dict[str, Any]) -> dict[str, Any]:
    """An answer as `print_json` has it."""
    whole = json.loads(json.dumps({"command": command, "schema": SCHEMA, **plain(told)}))
    assert isinstance(whole, dict)
    return whole


def test_pages_and_schemas_are_not_stale() -> None:
    there = {str(path.relative_to(DOCS)) for path in DOCS.glob("schemas/*.json")} | {"json.md"}
    assert there == set(files())
    for name, text in files().items():
        assert (DOCS / name).read_text("utf-8") == text, "run: python -m tools.json_reference"


@pytest.mark.parametrize("command", [*ANSWERS, "error"])
def test_schemas_are_schemas(command: str) -> None:
    Draft202012Validator.check_schema(schema_of(command))


def test_of_a_package(tmp_path: Path) -> None:
    """`run_json` checks the form of each answer, in all tests."""
    upstream, rules, out = tiny(tmp_path / "tiny"), own_rules(tmp_path / "rules"), tmp_path / "out"
    arguments = ("--rules", rules)
    run_json("generate", upstream, *arguments, "--diff")
    run_json("generate", upstream, *arguments, "--out", out)
    run_json("check", upstream, *arguments)
    run_json("check", upstream, *arguments, "--scope", "all")
    run_json("diff", out)
    run_json("diff", out, "--stat")
    run_json("review", out)
    run_json("status", upstream, out)
    changed = upstream / "GPT_SoVITS/module/models.py"
    changed.write_text(changed.read_text() + "\n\ndef more(x):\n    return x.item()\n")
    with (out / "module/tpu/commons.py").open("a") as file:
        file.write("BY_HAND = 1\n")
    run_json("status", upstream, out, status=1)
    run_json("generate", upstream, *arguments, "--out", out)
    run_json("diff", out)


def test_of_the_tool(tmp_path: Path) -> None:
    rules = own_rules(tmp_path / "rules")
    run_json("rules")
    run_json("rules", "RNG001")
    run_json("rules", "--find", "torch.stft")
    run_json("rules", "SYN900", "--rules", rules, "--test")
    check("doctor", json.loads(run("doctor", "--json").stdout))
    run_json("validate", "--list")


def test_of_runs() -> None:
    check("validate", as_printed("validate", validated(made_up.outcome())))
    check("estimate", as_printed("estimate", estimated(made_up_estimate.outcome())))
    check("bench", as_printed("bench", benched(test_bench.outcome(test_bench.SLOW, test_bench.FAST))))


def test_a_field_more_is_noticed() -> None:
    told = run_json("rules")
    with pytest.raises(ValidationError, match="unexpected"):
        check("rules", {**told, "more": 1})


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("generate", "nowhere", "--json"),
            ("generate", "nowhere", "--output-format", "json"),
            ("check", "--nonsense", "--json"),
            ("chekc", "--json"),
            ("--config", "nowhere.toml", "status", "--json"),
            ("rules", "--json", "--markdown"),
        ],
    )
    def test_are_json_too(self, arguments: tuple[str, ...]) -> None:
        done = run(*arguments)
        assert done.exit_code == 2
        told = json.loads(done.stdout)
        check("error", told)
        assert told["error"]["message"]
        assert told["error"]["message"].split(",")[0] in " ".join(done.stderr.split())

    def test_are_text_otherwise(self) -> None:
        done = run("generate", "nowhere")
        assert (done.exit_code, done.stdout) == (2, "")
