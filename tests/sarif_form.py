"""The part of SARIF 2.1.0 that the tool writes, as a closed JSON schema of its own: a key too many or amiss fails.

Whoever has OASIS's schema at hand names it in SOVITS_PORT_SARIF_SCHEMA, and the logs are checked against that too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema.validators import validator_for

OFFICIAL = "SOVITS_PORT_SARIF_SCHEMA"

_TEXT = {"type": "string", "minLength": 1}
_POSITIVE = {"type": "integer", "minimum": 1}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}


def _closed(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Mapping[str, Any], **more: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


_MESSAGE = _closed({"text": _TEXT})
_RULE = _closed(
    {
        "id": _TEXT,
        "shortDescription": _MESSAGE,
        "fullDescription": _MESSAGE,
        "help": _closed({"text": _TEXT, "markdown": _TEXT}, "markdown"),
        "defaultConfiguration": _closed({"level": _LEVEL}),
        "properties": _closed({"tags": _list(_TEXT)}),
    }
)
_LOCATION = _closed(
    {
        "physicalLocation": _closed(
            {
                "artifactLocation": _closed(
                    {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~%-][A-Za-z0-9._~%/-]*$"}, "uriBaseId": _TEXT}
                ),
                "region": _closed(
                    {"startLine": _POSITIVE, "startColumn": _POSITIVE, "endLine": _POSITIVE, "endColumn": _POSITIVE},
                    "startColumn",
                    "endLine",
                    "endColumn",
                ),
            }
        )
    }
)
_RESULT = _closed(
    {
        "ruleId": _TEXT,
        "ruleIndex": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["pass", "fail"]},
        "level": _LEVEL,
        "message": _MESSAGE,
        "locations": _list(_LOCATION, minItems=1, maxItems=1),
        "partialFingerprints": _closed({"primaryLocationLineHash": _TEXT}),
        "suppressions": _list(
            _closed(
                {"kind": {"enum": ["inSource", "external"]}, "status": {"const": "accepted"}, "justification": _TEXT}
            ),
            minItems=1,
        ),
    },
    "partialFingerprints",
    "suppressions",
)
_RUN = _closed(
    {
        "tool": _closed(
            {"driver": _closed({"name": _TEXT, "version": _TEXT, "semanticVersion": _TEXT, "rules": _list(_RULE)})}
        ),
        "automationDetails": _closed({"id": {"type": "string", "pattern": "^[^/]+/[^/]+/(?:[^/]+/)?$"}}),
        "columnKind": {"const": "unicodeCodePoints"},
        "originalUriBaseIds": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _closed({"description": _MESSAGE}),
        },
        "properties": _closed({"upstream": _TEXT, "revision": {"type": "string"}, "scope": _TEXT}),
        "results": _list(_RESULT),
    }
)
FORM = _closed({"$schema": _TEXT, "version": {"const": "2.1.0"}, "runs": _list(_RUN, minItems=1, maxItems=1)})


def complaints(log: Any) -> list[str]:
    """What is wrong with a log: by the form above, by what the specification says in words, and by OASIS's schema."""
    return [*_against(FORM, log), *(_in_words(log) if not _against(FORM, log) else ()), *_officially(log)]


def _against(schema: Mapping[str, Any], log: Any) -> list[str]:
    checker = validator_for(schema)
    errors = checker(schema, format_checker=checker.FORMAT_CHECKER).iter_errors(log)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def _in_words(log: Any) -> list[str]:
    """Indices fit, a kind other than fail has no level, base ids are declared, regions do not end before they start."""
    found = []
    for run in log["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        if len(set(rules)) != len(rules):
            found.append("two rules have one id")
        for result in run["results"]:
            place = result["locations"][0]["physicalLocation"]
            region = place["region"]
            if rules[result["ruleIndex"]] != result["ruleId"]:
                found.append(f"{result['ruleId']}: ruleIndex names another rule")
            if (result["kind"] == "pass") != (result["level"] == "none"):
                found.append(f"{result['ruleId']}: kind and level disagree")
            if place["artifactLocation"]["uriBaseId"] not in run["originalUriBaseIds"]:
                found.append(f"{result['ruleId']}: its base id is not declared")
            if region.get("endLine", region["startLine"]) < region["startLine"]:
                found.append(f"{result['ruleId']}: its region ends before it starts")
    return found


def _officially(log: Any) -> list[str]:
    path = os.environ.get(OFFICIAL)
    return _against(json.loads(Path(path).read_text("utf-8")), log) if path else []
