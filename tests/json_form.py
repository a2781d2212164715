"""The documented form of what commands print with --json."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from porter.answers import ANSWERS
from tools.json_reference import schema_of


def check(command: str, told: dict[str, Any]) -> None:
    """ValidationError for what is not as the schema of `command`, or of "error", says."""
    _validator(command).validate(told)


def answer_of(arguments: list[str]) -> str:
    """Which of the answers a command line gets."""
    command, rest = arguments[0], arguments[1:]
    for option in ("--diff", "--stat", "--list", "--find", "--test"):
        if option in rest and f"{command} {option}" in ANSWERS:
            return f"{command} {option}"
    given = [word for at, word in enumerate(rest) if not word.startswith("-") and rest[at - 1 : at] != ["--rules"]]
    return "rules CODE" if command == "rules" and given else command


@cache
def _validator(command: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(command))
