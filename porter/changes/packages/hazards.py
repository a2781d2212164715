"""Hazards that were not there before, by code and by the statement of upstream that they stand in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .changes import HazardChange, HazardChanges
from .sides import Lines, Source

if TYPE_CHECKING:
    from ...package.manifest import HazardRecord, Manifest


@dataclass(frozen=True)
class _Known:
    told: HazardRecord
    source: Source

    @cached_property
    def scope(self) -> str:
        return self.source.scope(self.told["line"])

    @cached_property
    def statement(self) -> str:
        """Parsed only where it has to be."""
        return self.source.text.statement(self.told["line"])


def compare_hazards(
    old: Manifest, new: Manifest, before: Mapping[str, Source], after: Mapping[str, Source], lines: Lines
) -> HazardChanges:
    """Hazards that are left in one of two packages and not, or not with the same status, in the other."""
    was = [_known(hazard, before) for hazard in old["hazards"]["list"]]
    now = [_known(hazard, after) for hazard in new["hazards"]["list"]]
    partner = _pair(was, now, lines)
    back = {other: own for own, other in partner.items()}
    return HazardChanges(_unlike(now, was, back), _unlike(was, now, partner))


def _unlike(own: Sequence[_Known], others: Sequence[_Known], partner: Mapping[int, int]) -> tuple[HazardChange, ...]:
    # Fixed hazards have the code of the rule that fixed them, so only their statement can be compared.
    fixed: set[tuple[str, str, str]] | None = None
    found = []
    for index, known in enumerate(own):
        told = known.told
        other = others[partner[index]].told["status"] if index in partner else ""
        if told["status"] in ("fixed", other):
            continue
        if fixed is None:
            fixed = {_statement(known) for known in others if known.told["status"] == "fixed"}
        found.append(
            HazardChange(
                code=told["code"],
                file=told["file"],
                line=told["line"],
                status=told["status"],
                reason=told["reason"],
                scope=known.scope,
                before=other or ("fixed" if _statement(known) in fixed else ""),
            )
        )
    return tuple(found)


def _known(hazard: HazardRecord, sources: Mapping[str, Source]) -> _Known:
    return _Known(hazard, sources[hazard["target"]])


def _statement(known: _Known) -> tuple[str, str, str]:
    return known.told["target"], known.scope, known.statement


def _pair(old: Sequence[_Known], new: Sequence[_Known], lines: Lines) -> dict[int, int]:
    """Places in `new` by place in `old`; hazards with the same name, in order."""
    partner: dict[int, int] = {}
    taken: set[int] = set()

    def by(was: Callable[[_Known], Hashable], now: Callable[[_Known], Hashable] | None = None) -> None:
        waiting: dict[Hashable, list[int]] = defaultdict(list)
        for index, known in enumerate(new):
            if index not in taken:
                waiting[(now or was)(known)].append(index)
        for index, known in enumerate(old):
            if index not in partner and waiting[was(known)]:
                partner[index] = waiting[was(known)].pop(0)
                taken.add(partner[index])

    by(lambda k: (k.told["code"], k.told["status"], k.source.content, k.told["target"], k.told["line"]))
    by(
        lambda k: (k.told["code"], k.told["status"], *_statement(k), lines(k.told["target"], k.told["line"])),
        lambda k: (k.told["code"], k.told["status"], *_statement(k), k.told["line"]),
    )
    by(lambda k: (k.told["code"], k.told["status"], *_statement(k)))
    by(lambda k: (k.told["code"], *_statement(k)))
    by(lambda k: (k.told["code"], k.told["status"], k.told["target"], k.statement))
    by(lambda k: (k.told["code"], k.told["status"], k.scope or k.told["target"], k.statement))
    return partner
