"""Answers about a package: generate, check, diff, review, status."""

from __future__ import annotations

from typing import TypedDict

from ..changes.comparison.totals import Total
from ..changes.decisions.walk import State
from ..changes.packages.changes import Changes
from ..generate.merging import Conflict
from ..hazards.runs.account import Asked
from ..package.manifest import (
    DecisionRecord,
    EditRecord,
    FileRecord,
    HazardsRecord,
    NeedsRecord,
    ScopeRecord,
    UpstreamRecord,
)
from ..package.manifest.records import IgnoreRecord, OptionsRecord


class PackageFacts(TypedDict):
    """What port.json tells of a package."""

    upstream: UpstreamRecord
    options: OptionsRecord
    rules: dict[str, int]  # code → edits
    files: dict[str, FileRecord]  # by place beside port.json, such as module/tpu/models.py
    scope: ScopeRecord
    edits: list[EditRecord]
    hazards: HazardsRecord
    unused_ignores: list[IgnoreRecord]
    needs: NeedsRecord


class GenerateAnswer(PackageFacts):
    """The package that was written, or was up to date."""

    package: str  # the folder module/tpu
    manifest: str  # the file port.json
    version: str  # of the tool
    written: bool  # false where everything was up to date, or a conflict is still marked
    backup: str | None  # where files that were edited by hand were put, with --force
    changes: Changes | None  # since the package that was there; null where there was none, or none was written
    edited_by_hand: list[str]  # files with edits by hand, which were kept
    added_by_hand: list[str]  # files that somebody added, which were kept
    restored: list[str]  # files that somebody had deleted
    conflicts: list[Conflict]
    decisions: list[DecisionRecord]


class GenerateDiffAnswer(TypedDict):
    """What the rules change; nothing is written."""

    diff: str  # unified
    rules: dict[str, int]  # code → edits
    edits: list[EditRecord]
    decisions: list[DecisionRecord]


class CheckedRecord(TypedDict):
    """What was looked at; paths are upstream's."""

    scope: Asked
    start: list[str]  # the files that such a run starts with
    ported: list[str]
    host: list[str]  # reached, and not looked at
    not_ported: list[str]


class CheckAnswer(PackageFacts):
    """The account of hazards."""

    checked: CheckedRecord


class RemovedRecord(TypedDict):
    """A file that a person deleted from the package."""

    file: str  # upstream
    name: str  # beside port.json


class DiffAnswer(TypedDict):
    """How much differs between upstream and the package."""

    upstream: UpstreamRecord
    rules: dict[str, Total]  # by code; HAND for lines edited by hand
    files: dict[str, Total]  # by path upstream
    all: Total
    added_by_hand: list[str]
    removed_by_hand: list[RemovedRecord]
    edited_without_upstream: list[str]
    left_out: int  # files of the tool's own, which have no counterpart upstream
    conflicts: list[Conflict]


class DecidedRecord(TypedDict):
    """What a person decided about a hunk."""

    what: str  # accept, reject or edit
    reason: str


class ChangeRecord(TypedDict):
    """One hunk. Lines keep their ends; line numbers count from 1."""

    file: str  # upstream
    line: int  # of the first of `old`; where that is empty, of the line that follows
    old: str
    target: str  # inside the package
    target_line: int
    new: str
    scope: str  # qualified name of the class or function around, "" for the module
    rules: list[str]
    safety: str | None  # the least safe of its edits
    reasons: list[str]
    by_hand: bool
    decision: DecidedRecord | None
    key: str  # names the hunk, by its content


class HunksAnswer(DiffAnswer):
    """Each hunk with its rule and its reason."""

    hunks: list[ChangeRecord]


class ReviewedEdit(TypedDict):
    """An edit of a hunk."""

    rule: str
    safety: str
    reason: str
    line: int


class ReviewedHunk(TypedDict):
    """A hunk, and what was decided about it."""

    key: str
    file: str  # upstream
    line: int
    target: str  # inside the package
    scope: str
    old: str
    new: str
    edits: list[ReviewedEdit]
    state: State
    reason: str  # of the decision
    text: str | None  # what a person wrote in place of the rules' lines


class StaleDecision(TypedDict):
    """A decision about code that is another now."""

    key: str
    what: str
    file: str
    line: int
    scope: str


class ReviewAnswer(TypedDict):
    """All hunks with what was decided, in the order in which a person is asked."""

    decisions_file: str
    hunks: list[ReviewedHunk]
    stale_decisions: list[StaleDecision]


class StatusAnswer(TypedDict):
    """How the package stands to upstream, rules and tool of today."""

    package: str  # the folder module/tpu
    manifest: str  # the file port.json
    stale: bool  # whether generating would change anything
    outdated: bool  # whether it would change more than headers
    upstream: UpstreamRecord  # today's
    edited_by_hand: list[str]
    missing: list[str]  # files that generating would write again
    conflicts: list[Conflict]  # of an earlier merge, still marked
    stale_decisions: list[DecisionRecord]
    changes: Changes | None  # null where tool, rules, options and upstream are what they were
    changelog: list[str]  # of the versions of the tool since the one that made the package
