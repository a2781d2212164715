"""Findings as a SARIF 2.1.0 log, which code scanning and editors read.

Places are upstream's: paths from the root of its tree, so that a log says the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from .. import __version__
from ..package.store import TOOL

if TYPE_CHECKING:
    from ..package.manifest import UpstreamRecord

Level = Literal["error", "warning", "note", "none"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"  # the name that code scanning and CodeQL give to the root of the sources


@dataclass(frozen=True, slots=True)
class Waiver:
    """Why a finding does not count: because of a note in upstream's line, or of something outside it."""

    reason: str
    in_source: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: what was found at a place upstream; level "none" means that all is well there.

    Lines count from 1 (0: none is known), columns in characters from 0. `fingerprint` names it by content, so that it
    stays the same finding when its line moves; it has to be the only one with its code in its file.
    """

    code: str  # of one of the log's rules
    level: Level
    message: str
    path: str  # upstream
    line: int = 1
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None
    fingerprint: str = ""
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a code means: one line, then sentences, then what to do about it (plain, and in Markdown)."""

    code: str
    title: str
    description: str
    level: Level
    help: str
    help_markdown: str = ""
    tags: tuple[str, ...] = ()


def sarif_log(
    command: str, findings: Sequence[Finding], rules: Sequence[About], upstream: UpstreamRecord, scope: str = "ported"
) -> dict[str, Any]:
    """The log of one run of `command`, which looked at `scope` of upstream.

    Every code of `findings` has to be among `rules`, or it is a ValueError.
    """
    places = {about.code: index for index, about in enumerate(rules)}
    missing = sorted({finding.code for finding in findings} - set(places))
    if missing or len(places) != len(rules):
        raise ValueError(f"codes without a rule, or rules that share one: {missing}")
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": TOOL,
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": [_rule(about) for about in rules],
                    }
                },
                # Names the kind of run: results of one command do not close those of another.
                "automationDetails": {
                    "id": f"{TOOL}/{command}/" if scope == "ported" else f"{TOOL}/{command}/{scope}/"
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of upstream's tree."}}},
                "properties": {"upstream": upstream["spec"], "revision": upstream["revision"], "scope": scope},
                "results": [_result(finding, places[finding.code]) for finding in findings],
            }
        ],
    }


def _rule(about: About) -> Mapping[str, Any]:
    words = {"text": about.help, "markdown": about.help_markdown} if about.help_markdown else {"text": about.help}
    return {
        "id": about.code,
        "shortDescription": {"text": about.title},
        "fullDescription": {"text": about.description},
        "help": words,
        "defaultConfiguration": {"level": about.level},
        "properties": {"tags": list(about.tags)},
    }


def _result(finding: Finding, rule: int) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "kind": "pass" if finding.level == "none" else "fail",
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.path), "uriBaseId": _ROOT},
                    "region": _region(finding),
                }
            }
        ],
    }
    if finding.fingerprint:
        # The one name that GitHub looks at.
        told["partialFingerprints"] = {"primaryLocationLineHash": finding.fingerprint}
    if finding.waiver is not None:
        kind = "inSource" if finding.waiver.in_source else "external"
        told["suppressions"] = [{"kind": kind, "status": "accepted", "justification": finding.waiver.reason}]
    return told


def _uri(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"))


def _region(finding: Finding) -> Mapping[str, int]:
    """SARIF counts columns from 1, and one past the last character ends a region."""
    region = {"startLine": finding.line}
    if finding.column is not None:
        region["startColumn"] = finding.column + 1
    if finding.end_line is not None:
        region["endLine"] = finding.end_line
    if finding.end_column is not None:
        region["endColumn"] = finding.end_column + 1
    return region
