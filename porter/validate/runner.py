"""A run of the judge: all cases that were asked for, those by inspection for what is left, and what nothing judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from porter.inputs.upstream import Snapshot
from porter.validate.cases import FORMS, KERNELS, TITLES, chosen_found, found_name, is_found
from porter.validate.checkpoint import check_fitted
from porter.validate.inventory import Inventory, take_inventory
from porter.validate.judge import Judge, open_judge
from porter.validate.manifest import Manifest, read_manifest
from porter.validate.omitted import not_judged
from porter.validate.outcome import CaseOutcome, Outcome
from porter.validate.request import Progress, Request

if TYPE_CHECKING:
    from porter.validate.bisect import Bisector

Ended = Callable[[CaseOutcome], None]  # told each outcome as its case ends


def validate(
    snapshot: Snapshot,
    folder: Path,
    request: Request,
    progress: Progress = lambda case, state: None,
    ended: Ended = lambda outcome: None,
) -> Outcome:
    """Judge the package at `folder` against `snapshot`. PortError for input that cannot be judged.

    `ended` is told each case's outcome as it ends. Ctrl-C, or SIGTERM (as SystemExit), ends the run with what there is.
    """
    manifest = read_manifest(folder)
    with open_judge(snapshot, folder, request) as judge:
        run = _Run(judge, request, _bisector(snapshot, manifest, judge), progress, ended)
        run.all()
    if not run.left:
        check_fitted(request.checkpoint, (case.fitted for case in run.outcomes))
    return run.told(snapshot, folder, manifest)


@dataclass
class _Run:
    """The cases that ended so far, and what they told."""

    judge: Judge
    asked: Request
    bisector: Bisector | None
    progress: Progress
    ended: Ended
    outcomes: list[CaseOutcome] = field(default_factory=list)
    names: tuple[str, ...] = ()  # the written cases of this run
    found: tuple[str, ...] = ()  # those by inspection
    inventory: Inventory = field(default_factory=Inventory)  # of upstream, as far as it was asked for
    reasons: dict[str, str] = field(default_factory=dict)  # why cases by inspection judge nothing
    former: set[str] = field(default_factory=set)  # calls of upstream that packages no longer have
    stopped: str = ""  # what ended the run early

    def all(self) -> None:
        """Run the written cases, then those by inspection of what none of them ran."""
        recording = self.judge.recording
        self.names = self.asked.names()
        if recording is not None:
            self.names = recording.chosen(self.asked.cases, self.names)
        try:
            for outcome in self._outcomes(self.names):
                self._add(outcome)
            if not self.asked.cases or any(map(is_found, self.asked.cases)):
                self.inventory = take_inventory(self.judge.texts, self.judge.arrangement)
                if recording is None:
                    self.found = chosen_found(self.asked.cases, self._uninspected())
            for outcome in self._outcomes(self.found):
                if outcome.verdict == "not in this upstream":
                    self.reasons[outcome.name] = outcome.findings[0]
                else:
                    self._add(outcome)
        except (KeyboardInterrupt, SystemExit) as stop:
            self.stopped = "Ctrl-C" if isinstance(stop, KeyboardInterrupt) else "SIGTERM"
            self.judge.stop()

    def _outcomes(self, cases: Sequence[str]) -> Iterator[CaseOutcome]:
        for place, reference, outcome in self.judge.run_all(cases, self.progress):
            self.former.update(reference.former if reference is not None else ())
            if self.bisector is not None and reference is not None and not outcome.passed:
                outcome = self.bisector.blame(outcome, place, reference, self.progress)
            shutil.rmtree(place)
            yield outcome

    def _add(self, outcome: CaseOutcome) -> None:
        self.outcomes.append(outcome)
        self.ended(outcome)

    def _uninspected(self) -> Iterable[str]:
        """Classes and functions that cases by inspection may run: any that was asked for, else what no case ran."""
        return self.inventory.judged if self.asked.cases else self.inventory.missing(self._ran())

    def _ran(self) -> Iterator[str]:
        """`FILE:NAME` of what passed cases ran."""
        return (name for case in self.outcomes if case.passed for name in case.ran)

    @property
    def left(self) -> list[str]:
        """Cases that had not ended when the run was stopped."""
        told = {*self.reasons, *(outcome.name for outcome in self.outcomes)}
        return [name for name in (*self.names, *self.found) if name not in told]

    @property
    def _whole(self) -> bool:
        """Whether all cases ran."""
        return not (self.asked.cases or self.left)

    def _untaken(self) -> set[str]:
        """A TPU's forms that some case should have taken, and none took."""
        if not (self.asked.counts_forms and self._whole):
            return set()
        return {form for case in self.outcomes for form in case.missed} - {
            n for case in self.outcomes for n in case.took
        }

    def told(self, snapshot: Snapshot, folder: Path, manifest: Manifest) -> Outcome:
        """What the run says of the package at `folder`."""
        judge, request = self.judge, self.judge.request
        whole = self.inventory if self._whole else Inventory()
        missing = whole.missing(self._ran())
        return Outcome(
            upstream=snapshot.spec,
            revision=snapshot.revision,
            port=folder.resolve().name,
            device=request.device,
            forms=request.forms,
            preset=request.preset,
            seed=request.seed,
            versions=judge.versions,
            cases=tuple(self.outcomes),
            validated=len(whole.judged) - len(missing),
            not_validated=missing,
            unfit={
                name: self.reasons[case]
                for name in (self.inventory.judged if self.asked.cases else missing)
                if (case := found_name(name)) in self.reasons
            },
            host_only=whole.excused,
            reference=judge.recording.header.words if judge.recording is not None else "",
            not_judged=not_judged(
                request,
                (*TITLES, *FORMS, *KERNELS),
                self.names,
                self.left,
                self.stopped,
                unreached=whole.left_out(self._ran()),
                unbuilt=judge.unbuilt,
                former=sorted(self.former),
            ),
            untaken=tuple(sorted(self._untaken())),
            by_hand=manifest.edited_by_hand(),
            stopped=self.stopped,
        )


def _bisector(snapshot: Snapshot, manifest: Manifest, judge: Judge) -> Bisector | None:
    if not judge.request.probes:
        return None
    from porter.validate.bisect import Bisector  # late: it takes the engine, and so libcst

    return Bisector(snapshot, manifest, judge)
