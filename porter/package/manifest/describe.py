"""Writing down a package that was laid out."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ... import __version__
from ...hazards.hazard import count
from ...inputs.sources import Scope, Sources, digest
from ...inputs.sources.facts import read_facts
from ..emit import PACKAGE
from ..store import TOOL
from .records import (
    SCHEMA,
    DecisionsRecord,
    EditRecord,
    FileRecord,
    HazardRecord,
    IgnoreRecord,
    Manifest,
    NeedsRecord,
    OptionsRecord,
    ScopeRecord,
    ToolRecord,
    UpstreamRecord,
)

if TYPE_CHECKING:
    from ...codemod.engine import Edit, Rewrites
    from ...hazards.hazard import Hazard
    from ..emit import Emitted


def describe(
    *,
    sources: Sources,
    rewrites: Rewrites,
    files: Mapping[str, Emitted],
    hazards: Sequence[Hazard],
    spec: str,
    revision: str,
    options: OptionsRecord,
    tool: ToolRecord,
    decisions: DecisionsRecord,
    base: bytes,
    codes: Collection[str],
) -> Manifest:
    """The manifest of a package that was laid out; `codes` are those of all rules and families."""
    mirrors = {emitted.upstream: emitted for emitted in files.values() if emitted.upstream is not None}
    listed = [hazard_record(h, mirrors[h.file].line(h.target_line)) for h in hazards]
    counts = count(hazards)
    return {
        "tool": TOOL,
        "schema": SCHEMA,
        "version": __version__,
        "upstream": _upstream(sources, spec, revision),
        "options": options,
        "rulebook": tool["rulebook"],
        "engine": tool["engine"],
        "package": PACKAGE,
        "base": digest(base),
        "rules": dict(sorted(Counter(edit.rule for edit in rewrites.edits).items())),
        "files": {name: _file(emitted, sources) for name, emitted in sorted(files.items())},
        "scope": scope_record(sources.scope),
        "consulted": dict(sorted(sources.consulted.items())),
        "edits": [edit_record(e, mirrors[e.file].line) for e in sorted(rewrites.edits)],
        "hazards": {
            "fixed": counts["fixed"],
            "waived": counts["waived"],
            "residual": counts["residual"],
            "list": listed,
        },
        "decisions": decisions,
        "unused_ignores": [
            _ignore(file, line, code, codes)
            for file, line, code in sorted(rewrites.unused_ignores)
            if not any(_is_noted(hazard, file, line, code) for hazard in hazards)
        ],
        "needs": _needs(sources, mirrors),
    }


def _upstream(sources: Sources, spec: str, revision: str) -> UpstreamRecord:
    record: UpstreamRecord = {
        "spec": spec,
        "revision": revision,
        "module": sources.module_root,
        "licence": sources.licence,
        "shape": sources.shape,
    }
    if sources.layout.flat:
        record["around"] = sources.prefix
    if sources.layout.chosen:
        record["chosen"] = sources.layout.chosen
    return record


def _is_noted(hazard: Hazard, file: str, line: int, code: str) -> bool:
    """Whether a note in this line is the one that waives a hazard."""
    if hazard.noted is None or hazard.file != file:
        return False
    return hazard.noted[0] <= line <= hazard.noted[1] and hazard.code.startswith(code)


def _ignore(file: str, line: int, code: str, codes: Collection[str]) -> IgnoreRecord:
    """A note that kept nothing off."""
    record: IgnoreRecord = {"file": file, "line": line, "code": code}
    if not any(known.startswith(code) for known in codes):
        record["meant"] = next(iter(difflib.get_close_matches(code, sorted(codes), 1)), "")
    return record


def scope_record(scope: Scope) -> ScopeRecord:
    """The scope as port.json has it."""
    return {
        "networks": [{"name": n.name, "file": n.file, "versions": list(n.versions)} for n in scope.networks],
        "trainers": [
            {"file": t.file, "networks": list(t.networks), "versions": list(t.versions)} for t in scope.trainers
        ],
        "host": list(scope.host),
        "not_ported": list(scope.not_ported),
        "left_out": list(scope.left_out),
        "training": list(scope.training),
        "inference": list(scope.inference),
        "digest": scope.digest,
    }


def _needs(sources: Sources, emitted: Mapping[str, Emitted]) -> NeedsRecord:
    needs = sources.needs
    left: set[str] = set()
    for path, packages in needs.outside.items():  # rules may have spared such a file some of its imports
        after = emitted[path].content.decode(sources.encodings[path])
        left |= set(packages) - (_imported(path, sources.texts[path][1]) - _imported(path, after))
    third_party = {*needs.third_party, *left}
    return {
        "upstream": list(needs.upstream),
        "third_party": sorted(third_party),
        "optional": sorted(set(needs.optional) - third_party),
        "trainers": {path: sorted(set(names) - left) for path, names in needs.trainers.items()},
        "later": {path: sorted(set(names) - left) for path, names in needs.later.items()},
    }


def _imported(path: str, text: str) -> set[str]:
    return {statement.package for statement in read_facts(path, text).imports}


def _file(emitted: Emitted, sources: Sources) -> FileRecord:
    path = emitted.upstream
    return {
        "origin": emitted.origin.value,
        "upstream": path,
        "input_sha256": None if path is None else sources.sha256[path],
        "sha256": digest(emitted.content),
        "header_at": emitted.header_at,
        "header_lines": emitted.header_lines,
    }


def edit_record(edit: Edit, line: Callable[[int], int]) -> EditRecord:
    """An edit as port.json has it; `line` tells where a line of the text without its header stands."""
    return {
        "rule": edit.rule,
        "safety": edit.safety,
        "reason": edit.reason,
        "file": edit.file,
        "line": edit.span.line,
        "column": edit.span.column,
        "end_line": edit.span.end_line,
        "end_column": edit.span.end_column,
        "target": edit.target,
        "target_line": line(edit.target_span.line),
        "target_column": edit.target_span.column,
        "target_end_line": line(edit.target_span.end_line),
        "target_end_column": edit.target_span.end_column,
    }


def hazard_record(hazard: Hazard, target_line: int) -> HazardRecord:
    """A hazard as port.json has it, which stands in that line of the emitted file."""
    return {
        "code": hazard.code,
        "file": hazard.file,
        "line": hazard.line,
        "status": hazard.status.value,
        "reason": hazard.reason,
        "target": hazard.target,
        "target_line": target_line,
    }
