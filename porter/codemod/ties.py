"""Which edits stand and fall together: those that mean nothing without one that is not made are not made either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

import libcst as cst

from ..analysis.project import Project, SourceFile
from .requests import Request, Requests

C = TypeVar("C")


def with_dependants(project: Project, refused: Mapping[Request, C]) -> dict[Request, C]:
    """What goes along with refused requests, those included, each with the cause of the one that it goes with."""
    all_ties = _AllTies(project)
    result = dict(refused)
    waiting = list(refused)
    while waiting:
        one = waiting.pop()
        new = [other for other in dict.fromkeys(all_ties.dependants(one)) if other not in result]
        result.update(dict.fromkeys(new, result[one]))
        waiting += new
    return result


class _AllTies:
    """Which of all that rules ask for means nothing without what."""

    def __init__(self, project: Project) -> None:
        self._places = {request: file for file in project.files.values() for request in file.fact(Requests)}
        self._groups = _groups(self._places)
        self._needing = [request for request in self._places if request.ties.needs]

    def dependants(self, one: Request) -> Iterator[Request]:
        """What means nothing without one request, as far as they are tied directly."""
        for key in one.ties.keys:
            yield from self._groups[key]
        yield from (other for other in self._needing if _needs(other, one, self._places[one]))
        for other, there in self._places.items() if one.ties.needed_in else ():
            if _is_inside(there, other.node, one.ties.needed_in):
                yield other


def _groups(requests: Iterable[Request]) -> dict[Hashable, list[Request]]:
    """Requests that are made all or none, by the key that they share."""
    groups: dict[Hashable, list[Request]] = defaultdict(list)
    for request in requests:
        for key in request.ties.keys:
            groups[key].append(request)
    return groups


def with_mates(project: Project, lost: Iterable[Request], refused: Collection[Request]) -> set[Request]:
    """Those of `lost` that belong to a group, and the rest of each group, as far as that is not refused already."""
    groups = _groups(r for file in project.files.values() for r in file.fact(Requests) if r not in refused)
    lost = set(lost)
    torn = (groups[key] for one in lost for key in one.ties.keys)
    return {one for group in torn if not lost.issuperset(group) for one in group}


def _needs(one: Request, other: Request, file: SourceFile) -> bool:
    """Whether one request needs another, which stands in `file`."""
    return any(
        other.rule.code in need.rules and _is_inside(file, other.node, (need.inside,)) for need in one.ties.needs
    )


def _is_inside(file: SourceFile, node: cst.CSTNode, around: Iterable[cst.CSTNode]) -> bool:
    wanted = set(around)
    return node in wanted or any(above in wanted for above in file.ancestors(node))
