"""Which edits are to blame: the fewest without which a failed case does not fail so."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from porter.inputs.upstream import Snapshot
from porter.validate.ddmin import Found, smallest_cure
from porter.validate.job import Told
from porter.validate.manifest import Manifest
from porter.validate.outcome import CaseOutcome, Verdict
from porter.validate.request import Progress, Request
from porter.validate.variants import Candidate, Variants, check_reproducible

# Upstream's own lines are above the budget on XLA, so agreement is all that taking edits away can bring back there.
_CURED: Mapping[Verdict, tuple[Verdict, ...]] = {
    "mismatch": ("pass", "over budget"),
    "error": ("pass", "over budget"),
    "timeout": ("pass", "over budget"),
    "over budget": ("pass",),
}
_PLACE = re.compile(r"([\w/]+\.py):(\d+)")


class Judge(Protocol):
    """What runs cases of a package, as far as a bisector needs it."""

    @property
    def request(self) -> Request:
        """What to validate, and how."""

    @property
    def workplace(self) -> Path:
        """A folder for what runs make."""

    def other(self, root: Path) -> Judge:
        """The same, for the package at another folder."""

    def run_port(self, name: str, place: Path, reference: Told, progress: Progress) -> CaseOutcome:
        """The outcome of one case, against upstream's side of it in the folder `place`."""


class Bisector:
    """Runs failed cases again on packages that lack some edits."""

    def __init__(self, snapshot: Snapshot, manifest: Manifest, judge: Judge) -> None:
        """PortError where generating again would not make the package's own edits."""
        check_reproducible(manifest, judge.request.rules)
        self._snapshot, self._manifest, self._judge = snapshot, manifest, judge
        self._folder = judge.workplace / "variant"

    @cached_property
    def _variants(self) -> Variants:
        return Variants(self._snapshot, self._manifest, self._judge.request.rules)

    def blame(self, outcome: CaseOutcome, place: Path, reference: Told, progress: Progress) -> CaseOutcome:
        """`outcome` with its culprits; `place` holds upstream's side of the case."""
        limit = self._judge.request.probes
        cured = _CURED[outcome.verdict]
        judge = self._judge.other(self._folder)
        seen: dict[frozenset[Candidate], Verdict] = {}

        def cures(without: frozenset[Candidate]) -> bool:
            progress(outcome.name, f"probe {len(seen) + 1} of at most {limit}, without {_edits(len(without))}")
            self._variants.write(self._folder, without)
            seen[without] = judge.run_port(outcome.name, place, reference, lambda case, state: None).verdict
            return seen[without] in cured

        groups = self._groups(outcome)
        found = smallest_cure(groups, cures, limit, groups[0])
        verdict = seen[frozenset(found.cure)] if found.cure else None
        culprits = tuple(candidate.culprit for candidate in found.cure or ())
        return replace(outcome, culprits=culprits, bisected=_sentence(found, verdict, len(self._variants.candidates)))

    def _groups(self, outcome: CaseOutcome) -> list[list[Candidate]]:
        """Edits at the lines that the outcome names, in functions that ran, in files that ran, and all others."""
        named = _named_places(outcome)
        ran, files = set(outcome.ran), {name.partition(":")[0] for name in outcome.ran}
        groups: list[list[Candidate]] = [[], [], [], []]
        for candidate in self._variants.candidates:
            if any(file == candidate.file and candidate.first <= line <= candidate.last for file, line in named):
                groups[0].append(candidate)
            elif self._variants.function(candidate) in ran:
                groups[1].append(candidate)
            else:
                groups[2 if candidate.file in files else 3].append(candidate)
        return groups


def _named_places(outcome: CaseOutcome) -> Collection[tuple[str, int]]:
    """File and line of every place of the package that an outcome tells of."""
    texts = [*outcome.findings, *(cost.origin.target for cost in outcome.costs)]
    texts += [outcome.drift.target] if outcome.drift else []
    texts += [edit.target for edit in outcome.divergence.edits] if outcome.divergence else []
    return {(file, int(line)) for text in texts for file, line in _PLACE.findall(text)}


def _sentence(found: Found[Candidate], verdict: Verdict | None, candidates: int) -> str:
    if found.cure is None:
        why = "" if found.whole else ", and the limit is reached (--bisect-probes)"
        return f"bisecting: none of {found.probes} probes over {_edits(candidates)} cures it{why}"
    left = "" if verdict == "pass" else f" (then {verdict})"
    most = "" if found.whole else "; there may be fewer, the limit is reached (--bisect-probes)"
    return f"bisecting: cured{left} without {_edits(len(found.cure))}, after {found.probes} probes{most}"


def _edits(count: int) -> str:
    return "1 edit" if count == 1 else f"{count} edits"
