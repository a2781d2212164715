"""port.json: what was generated from what, every edit with its places on both sides, and every hazard."""

from __future__ import annotations

import json

from .reading import is_inside, read, read_package
from .records import (
    SCHEMA,
    DecisionRecord,
    DecisionsRecord,
    EditRecord,
    FileRecord,
    HazardRecord,
    HazardsRecord,
    IgnoreRecord,
    Manifest,
    NeedsRecord,
    OptionsRecord,
    ScopeRecord,
    ToolRecord,
    UpstreamRecord,
)

__all__ = [
    "SCHEMA",
    "DecisionRecord",
    "DecisionsRecord",
    "EditRecord",
    "FileRecord",
    "HazardRecord",
    "HazardsRecord",
    "IgnoreRecord",
    "Manifest",
    "NeedsRecord",
    "OptionsRecord",
    "ScopeRecord",
    "ToolRecord",
    "UpstreamRecord",
    "dump",
    "folder_around",
    "folders_to_import",
    "input_hashes",
    "is_inside",
    "output_hashes",
    "read",
    "read_package",
]


def dump(manifest: Manifest) -> bytes:
    """The bytes of port.json: the same for the same manifest on every Python."""
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def output_hashes(manifest: Manifest) -> dict[str, str]:
    """SHA-256 of every file of the package, by its place."""
    return {name: record["sha256"] for name, record in manifest["files"].items()}


def folder_around(manifest: Manifest) -> str:
    """The folder of upstream that bare imports start from: the one around `module`, or flat sources' own."""
    told = manifest["upstream"]
    return told.get("around", told["module"].rpartition("/")[0])


def folders_to_import(manifest: Manifest) -> tuple[str, ...]:
    """The folders of upstream that have to be on Python's path beside the package, first come first served."""
    told, around = manifest["upstream"], folder_around(manifest)
    scripts = "around" in told or told["module"].rpartition("/")[2] == "module"
    return (around, "") if around and scripts else ("",)


def input_hashes(manifest: Manifest) -> dict[str, str]:
    """SHA-256 of every file of upstream that was ported, by its path."""
    return {
        record["upstream"]: record["input_sha256"]
        for record in manifest["files"].values()
        if record["upstream"] is not None and record["input_sha256"] is not None
    }
