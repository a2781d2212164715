"""Answers about the tool itself: rules, doctor, and what an error is."""

from __future__ import annotations

from typing import TypedDict

from ..codemod.examples.texts import Result
from ..machine.diagnosis import State


class RuleRecord(TypedDict):
    """A rule in short."""

    code: str
    title: str
    safety: str  # exact, close or changed
    family: str
    default: bool  # whether it is at work unless selected


class RulesAnswer(TypedDict):
    """All rules."""

    rules: list[RuleRecord]


class ExampleRecord(TypedDict):
    """An example."""

    before: str
    after: str


class KeepOff(TypedDict):
    """How to keep a rule off."""

    line: str  # a comment on upstream's line
    everywhere: str  # an option


class FullRule(RuleRecord):
    """A rule in full."""

    message: str  # told at each edit
    documentation: str
    examples: list[ExampleRecord]
    untouched: list[str]  # code that looks alike and is left alone
    ignore: KeepOff | None  # null for a rule that comes along with others


class FullRulesAnswer(TypedDict):
    """The rules that are meant by CODE."""

    rules: list[FullRule]


class HazardReason(TypedDict):
    """A hazard of a name."""

    code: str
    reason: str


class RuleUse(RuleRecord):
    """A rule, and what it makes of a name."""

    before: str
    after: str


class FoundAnswer(TypedDict):
    """What is done with a name."""

    name: str
    hazards: list[HazardReason]
    rules: list[RuleUse]


class TrialAnswer(TypedDict):
    """What became of the examples."""

    executed: bool  # false where torch is not installed
    results: list[Result]


class FindingRecord(TypedDict):
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    advice: str  # what to type, "" where nothing has to be done
    passed: bool


class DoctorAnswer(TypedDict):
    """What this machine has."""

    passed: bool
    findings: list[FindingRecord]


class ErrorRecord(TypedDict):
    """Why a command could not do what it was asked."""

    message: str
    status: int  # the exit status


class ErrorAnswer(TypedDict):
    """In place of an answer."""

    error: ErrorRecord
