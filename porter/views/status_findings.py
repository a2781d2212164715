"""What `status` found as findings: why a package is stale, and hazards of today's upstream that it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .hazard_findings import hazard_rules
from .sarif import About, Finding

if TYPE_CHECKING:
    from ..changes.packages.changes import FileChange, HazardChanges
    from ..changes.status import Standing
    from ..rule import Rule

_STALE, _FILE, _MISSING, _CONFLICT = "stale", "upstream-changed", "missing-file", "conflict"
_WORDS = {
    "added": "The file is new upstream.",
    "removed": "The file is gone upstream.",
    "changed": "The file changed upstream.",
    "comments": "Only comments of the file changed upstream.",
    "reformatted": "The file was only reformatted upstream.",
    "renamed": "The file has another name upstream.",
    "header": "Only the header of the file changes.",
}


def status_findings(found: Standing) -> list[Finding]:
    """Reasons to generate again, then new residual hazards; none where nothing changed."""
    findings: list[Finding] = []
    root = found.after["upstream"]["module"]
    if found.changes is not None:
        for fact in found.changes.facts:
            message = f"{fact.name}: {fact.before or 'nothing'} before, {fact.after or 'nothing'} now."
            findings.append(Finding(_STALE, "warning", message, root, fingerprint=f"{fact.name}:1"))
        findings += [_file(change) for change in (*found.changes.upstream, *found.changes.consulted)]
    for name in found.missing:
        message = f"{name} of the package is missing; generating writes it again."
        findings.append(Finding(_MISSING, "warning", message, root, fingerprint=f"{name}:1"))
    for conflict in found.marked:
        message = f"{conflict.file}:{conflict.line} of the package: {conflict.message}."
        findings.append(Finding(_CONFLICT, "error", message, root, fingerprint=f"{conflict.file}:{conflict.line}"))
    return findings if found.changes is None else [*findings, *_new_hazards(found.changes.hazards)]


def _new_hazards(hazards: HazardChanges) -> Iterator[Finding]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for hazard in hazards.residual:
        place = hazard.code, hazard.file, hazard.scope
        seen[place] += 1
        name = f"{hazard.scope or 'module'}:{seen[place]}"
        why = "a person's decision leaves it" if hazard in hazards.rejected else "no rule fixes it"
        message = f"New, and {why}: {hazard.reason}"
        yield Finding(hazard.code, "error", message, hazard.file, hazard.line, fingerprint=name)


def status_rules(book: Sequence[type[Rule]]) -> list[About]:
    """What the codes of these findings mean."""
    advice = "Run sovits-port generate, and look at what it says has changed."
    own = (
        (_STALE, "the tool, the rules, an option or upstream's revision is another one"),
        (_FILE, "a file that the port was made from changed upstream"),
        (_MISSING, "a file of the package is missing"),
    )
    abouts = [
        About(code, title, f"Generating again would change the package: {title}.", "warning", advice)
        for code, title in own
    ]
    solve = "Choose what stays between the markers, delete them, then run sovits-port generate."
    told = "A merge of hand edits left both sides in a file of the package."
    abouts.append(About(_CONFLICT, "a conflict with hand edits is not solved", told, "error", solve))
    return [*abouts, *hazard_rules(book)]


def _file(change: FileChange) -> Finding:
    renamed = f" It was {change.was}." if change.was else ""
    lines = f" (+{change.added} -{change.removed})" if change.added or change.removed else ""
    return Finding(_FILE, "warning", f"{_WORDS[change.kind]}{renamed}{lines}", change.file, fingerprint="file:1")
