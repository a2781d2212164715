"""Calls of the runtime whose outcome the judge knows: the runtime's own give that, and another outcome shows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from porter.runtime import ops
from porter.validate.cases import load_case
from porter.validate.cases.base import Part
from porter.validate.cases.known import Call, calling_known
from porter.validate.cases.operations import TORCHS
from porter.validate.step import flatten

CASES = ("files.datasets", "files.plans", "files.loops", "files.saving", "files.refusals")


def outcome(part: Part, operations: Any) -> dict[str, float]:
    assert part.network is not None
    return {name: float(value.sum()) for name, value in flatten(part.call(part.network(operations), {}))}


@pytest.mark.parametrize("name", CASES)
def test_the_runtime_does_what_is_known(name: str) -> None:
    for part in load_case(name).parts:
        known = outcome(part, TORCHS)
        assert len(known) > 10
        assert outcome(part, ops) == known


def stopping(module: Any, folder: Path) -> None:
    print(f"{folder}/a is none", file=sys.stderr)
    raise SystemExit(2)


def noting(module: Any, folder: Path) -> object:
    print("a note", file=sys.stderr)
    return [module.__name__.rpartition(".")[2], torch.ones(2)]


STOPS = Call(stopping, "HERE/a is none")
NOTES = Call(noting, "a note", gives=["plan", torch.ones(2)], goes_on=True)
FAILS = Call(lambda module, folder: [][0], gives="IndexError: list index out of range")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (STOPS, replace(STOPS, words="HERE/b is none")),
        (STOPS, replace(STOPS, goes_on=True)),
        (NOTES, replace(NOTES, goes_on=False)),
        (NOTES, replace(NOTES, words="")),
        (NOTES, replace(NOTES, gives=["plan", torch.zeros(2)])),
        (FAILS, replace(FAILS, gives="IndexError")),
    ],
)
def test_another_outcome_shows(right: Call, wrong: Call) -> None:
    for call, same in ((right, True), (wrong, False)):
        part = calling_known("training.plan", {"call": call})
        assert (outcome(part, TORCHS) == outcome(part, ops)) is same


def test_words_of_another_library_are_compared_as_far_as_they_are_known() -> None:
    begun = replace(STOPS, words="HERE/a is…")
    part = calling_known("training.plan", {"call": begun})
    assert outcome(part, TORCHS) == outcome(part, ops)
    part = calling_known("training.plan", {"call": replace(begun, words="HERE/b is…")})
    assert outcome(part, TORCHS) != outcome(part, ops)
