"""Which edits stand and fall together: those that mean nothing without one that is not made are not made either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

import libcst as cst

from ..analysis.project import Project, SourceFile
from .requests import Request, Requests

C = TypeVar("C")


def with_dependants(project: Project, refused: Mapping[Request, C]) -> dict[Request, C]:
    """What goes along with refused requests, those included, each with the cause of the one that it goes with."""
    places = {request: file for file in project.files.values() for request in file.fact(Requests)}
    needing = [request for request in places if request.ties.needs]
    together: dict[Hashable, list[Request]] = defaultdict(list)
    for request in places:
        for key in request.ties.keys:
            together[key].append(request)
    result = dict(refused)
    waiting = list(refused)
    while waiting:
        one = waiting.pop()
        along = [other for key in one.ties.keys for other in together[key]]
        along += [other for other in needing if _needs(other, one, places[one])]
        if one.ties.needed_in:
            along += [other for other, there in places.items() if _is_inside(there, other.node, one.ties.needed_in)]
        new = [other for other in dict.fromkeys(along) if other not in result]
        result.update(dict.fromkeys(new, result[one]))
        waiting += new
    return result


def with_mates(project: Project, lost: Iterable[Request], refused: Collection[Request]) -> set[Request]:
    """Those of `lost` that belong to a group, and the rest of each group, as far as that is not refused already."""
    together: dict[Hashable, set[Request]] = defaultdict(set)
    for file in project.files.values():
        for request in file.fact(Requests):
            if request not in refused:
                for key in request.ties.keys:
                    together[key].add(request)
    lost = set(lost)
    torn = (together[key] for one in lost for key in one.ties.keys)
    return {one for group in torn if not group <= lost for one in group}


def _needs(one: Request, other: Request, file: SourceFile) -> bool:
    """Whether one request needs another, which stands in `file`."""
    return any(
        other.rule.code in need.rules and _is_inside(file, other.node, (need.inside,)) for need in one.ties.needs
    )


def _is_inside(file: SourceFile, node: cst.CSTNode, around: Iterable[cst.CSTNode]) -> bool:
    wanted = set(around)
    return node in wanted or any(above in wanted for above in file.ancestors(node))
