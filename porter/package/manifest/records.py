"""The shape of port.json."""

from __future__ import annotations

from typing import Literal, TypedDict

SCHEMA = 3

Status = Literal["fixed", "waived", "residual", "not ported"]  # the last one not in port.json


class _UpstreamSince(TypedDict, total=False):
    around: str  # the folder that bare imports start from, where it is not the one around the main folder
    chosen: str  # why this is the main folder, where there were others


class UpstreamRecord(_UpstreamSince):
    """What was ported."""

    spec: str
    revision: str  # full commit hash, version of a wheel, or ""
    module: str  # the main folder, such as GPT_SoVITS/module
    licence: str
    shape: str  # hash of the names of files that imports could have meant


class _OptionsSince(TypedDict, total=False):
    sources: list[str]  # folders of upstream to port, the main one first


class OptionsRecord(_OptionsSince):
    """Options that decide what is written."""

    select: list[str]
    ignore: list[str]
    install: bool


class ToolRecord(TypedDict):
    """Hashes of what turns sources into a package."""

    rulebook: str
    engine: str


class FileRecord(TypedDict):
    """One file of the package."""

    origin: str  # "rewritten", "runtime", "import path" or "package"
    upstream: str | None
    input_sha256: str | None
    sha256: str
    header_at: int  # lines before the header
    header_lines: int


class EditRecord(TypedDict):
    """One edit; lines count from 1, columns in characters from 0, `target` is a place in the package."""

    rule: str
    safety: str
    reason: str
    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    target: str
    target_line: int
    target_column: int
    target_end_line: int
    target_end_column: int


class HazardRecord(TypedDict):
    """One hazard and what became of it; `target` is a place in the package."""

    code: str
    file: str
    line: int
    status: Status
    reason: str
    target: str
    target_line: int


class _HazardsOfRun(TypedDict, total=False):
    not_ported: int  # not in port.json


class HazardsRecord(_HazardsOfRun):
    """How many hazards have each status, and all of them."""

    fixed: int
    waived: int
    residual: int
    list: list[HazardRecord]


class DecisionRecord(TypedDict):
    """What a person decided about one hunk; `line` is upstream's now, or where it last was if the code is gone."""

    key: str
    what: Literal["accept", "reject", "edit"]
    reason: str
    file: str
    line: int
    scope: str
    stale: bool  # upstream's code or the rules there are others now, so it does nothing
    outdated: bool  # the rules' own rewrite is another than the person saw


class DecisionsRecord(TypedDict):
    """People's decisions, and what the rules alone would have done in the files that they changed."""

    hash: str  # of all that was decided; "" for nothing
    list: list[DecisionRecord]
    undecided: list[EditRecord]  # all edits of files that `undecided` of port.base has, with their places there


class _NeedsSince(TypedDict, total=False):
    later: dict[str, list[str]]  # trainer of upstream → packages that only its functions import, when they are called


class NeedsRecord(_NeedsSince):
    """Imports that the package does not hold itself."""

    upstream: list[str]
    third_party: list[str]
    optional: list[str]  # packages that upstream goes on without
    trainers: dict[str, list[str]]  # trainer of upstream → packages that it imports as well


class _NoteRecord(TypedDict):
    file: str
    line: int
    code: str  # "" for a note that names none


class IgnoreRecord(_NoteRecord, total=False):
    """A `# port: ignore[...]` note that kept nothing off."""

    meant: str  # where no rule or family has such a code: one like it, or ""


class NetworkRecord(TypedDict):
    """A network of the port that trainers or other files of upstream build."""

    name: str
    file: str
    versions: list[str]  # of the model that it belongs to, such as v2


class TrainerRecord(TypedDict):
    """A trainer of the port."""

    file: str
    networks: list[str]
    versions: list[str]  # that it trains, and "LoRA" where it trains that


class _ScopeSince(TypedDict, total=False):
    left_out: list[str]  # of what is not ported: what holds networks or trains, and imports what is ported


class ScopeRecord(_ScopeSince):
    """What of upstream is ported, and what is not; paths are upstream's."""

    networks: list[NetworkRecord]
    trainers: list[TrainerRecord]
    host: list[str]  # runs on the host as upstream has it: what ported files import, and what prepares datasets
    not_ported: list[str]  # what else computes with torch
    training: list[str]  # what a training run starts with, ported or not
    inference: list[str]  # what builds ported networks to speak with
    digest: str  # of the files that are not ported


class SinceVersion(TypedDict, total=False):
    """What packages of earlier versions do not have."""

    scope: ScopeRecord


class Manifest(SinceVersion):
    """The whole of port.json."""

    tool: str
    schema: int
    version: str
    upstream: UpstreamRecord
    options: OptionsRecord
    rulebook: str
    engine: str
    package: str  # the folder of the package beside port.json: module/tpu
    rules: dict[str, int]  # code → edits
    base: str  # SHA-256 of port.base
    files: dict[str, FileRecord]  # by place beside port.json, such as module/tpu/models.py
    consulted: dict[str, str]  # files of upstream that were read and not ported → SHA-256
    edits: list[EditRecord]
    hazards: HazardsRecord
    decisions: DecisionsRecord
    unused_ignores: list[IgnoreRecord]
    needs: NeedsRecord
