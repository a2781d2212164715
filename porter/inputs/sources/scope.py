"""What of upstream is ported, what runs on the host as upstream has it, and what is not ported."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .layout import folder_of
from .survey import Survey
from .uses import Role, Uses, adapters, uses
from .versions import constants, in_order, own_versions

if TYPE_CHECKING:
    from .tree import Tree
    from .uses import Network


@dataclass(frozen=True, slots=True)
class PortedNetwork:
    """A network of the port that trainers or other files of upstream build, and the versions of the model it is in."""

    name: str
    file: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PortedTrainer:
    """A trainer of the port, the networks that it builds, and what it trains: versions, and LoRA where it is that."""

    file: str
    networks: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """Every file of upstream that computes with torch is ported, on the host or not ported."""

    networks: tuple[PortedNetwork, ...] = ()
    trainers: tuple[PortedTrainer, ...] = ()
    host: tuple[
        str, ...
    ] = ()  # what ported files import, what prepares datasets, what that imports, and what only uses that
    not_ported: tuple[str, ...] = ()  # the rest, if it computes with torch
    left_out: tuple[str, ...] = ()  # those of them that hold networks or train, and import what is ported
    training: tuple[str, ...] = ()  # files that a training run starts with, ported or not
    inference: tuple[str, ...] = ()  # files that build ported networks to speak with
    digest: str = ""  # of all that this was read from


def survey_scope(tree: Tree, ported: Collection[str], trainers: Collection[str]) -> Scope:
    """The scope of a port that holds the files `ported`, `trainers` among them. Nothing is executed."""
    survey = Survey(tree)
    left = [path for path in survey.paths if path not in ported]
    networks = {path: frozenset(survey.facts(path).networks) for path in ported}
    scripts = {*trainers, *(path for path in left if not tree.inside(path))}
    used = {path: uses(survey, path, networks) for path in sorted(scripts)}
    host = _on_host(survey, ported, left, used)
    built = _built(survey, ported, networks, used)
    versions = _versions(survey, built, used, trainers)
    rest = tuple(path for path in left if path not in host and survey.uses_torch(path))
    return Scope(
        networks=tuple(PortedNetwork(name, file, tuple(in_order(versions[file, name]))) for file, name in built),
        trainers=tuple(_trainer(survey, path, used[path], versions) for path in sorted(trainers)),
        host=tuple(sorted(host)),
        not_ported=rest,
        left_out=tuple(path for path in rest if _uses_port(survey, path, ported)),
        training=tuple(
            path for path, use in used.items() if path in trainers or _is_role(path, use, Role.TRAINS, host)
        ),
        inference=_speaking(survey, {path: use for path, use in used.items() if path in left}, host),
        digest=scope_digest(tree, ported),
    )


def scope_digest(tree: Tree, ported: Collection[str]) -> str:
    """A hash of the files around the folder `module` that are not ported; while it stays, so does the scope."""
    left = [path for path in Survey(tree).paths if path not in ported]
    found = hashlib.sha256()
    for path, content in tree.snapshot.read_many(left).items():
        found.update(f"{path}\n{hashlib.sha256(content).hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


_LEARNS = re.compile(r"\.(?:manual_)?backward[ \t]*\(")


def _uses_port(survey: Survey, path: str, ported: Collection[str]) -> bool:
    """Whether a file defines networks or computes gradients, and imports what is ported."""
    works = survey.facts(path).defines_network or _LEARNS.search(survey.text(path)) is not None
    return works and any(file in ported for files in survey.links(path).values() for file in files)


def in_groups(paths: Sequence[str], around: str) -> list[str]:
    """The files by the first folder below `around`, as words: `AR (24 files)`, `s1_train.py`."""
    start = f"{around}/" if around else ""
    below = [path.removeprefix(start) for path in paths]
    counts = Counter(path.partition("/")[0] for path in below if "/" in path)
    folders = [f"{name} ({count} file{'s' if count > 1 else ''})" for name, count in counts.items()]
    return [*folders, *(path for path in below if "/" not in path)]


def _is_role(path: str, use: Uses, role: Role, host: Collection[str]) -> bool:
    return use.role is role and path not in host


def _speaking(survey: Survey, used: Mapping[str, Uses], host: Collection[str]) -> tuple[str, ...]:
    """Files that build ported networks to speak with, and those with tensors that import them."""
    first = {path for path, use in used.items() if _is_role(path, use, Role.SPEAKS, host) and use.built}
    others = (path for path, use in used.items() if _is_role(path, use, Role.OTHER, host))
    inside = survey.reach(first)
    others = (path for path in others if path not in inside and survey.uses_torch(path))
    around = {path for path in others if survey.reach([path]) & first}
    return tuple(sorted(first | around))


def _on_host(survey: Survey, ported: Collection[str], left: Sequence[str], used: Mapping[str, Uses]) -> frozenset[str]:
    """What ported files import, what prepares datasets, all that these import, and what only uses that."""
    preparing = {path for path in left if path in used and used[path].role is Role.PREPARES}
    folders = {folder_of(path) for path in preparing} - {survey.tree.prefix}
    preparing |= {path for path in left if folder_of(path) in folders}
    reached = survey.reach({*ported, *preparing}) - set(ported)
    host = frozenset(path for path in reached if path in preparing or survey.text(path).strip())  # what does something
    computing = {path for path in left if survey.uses_torch(path)}
    around = {path for path in computing - host if path in used and used[path].role is Role.OTHER}
    around -= {path for path in around if survey.facts(path).networks}
    return host | {path for path in around if _only(survey.reach([path]) & computing - {path}, host)}


def _only(found: frozenset[str], host: frozenset[str]) -> bool:
    return bool(found) and found <= host


def _built(
    survey: Survey, ported: Collection[str], networks: Mapping[str, frozenset[str]], used: Mapping[str, Uses]
) -> list[Network]:
    """The networks that others build; where nobody does, those that no other network of the port does."""
    found = {network for use in used.values() for network in use.built}
    if not found:
        every = {(path, name) for path in ported for name in networks[path]}
        inner = {network for path in ported for network in uses(survey, path, networks).built if network[0] != path}
        named = {(path, name) for path, name in every if survey.text(path).count(f"{name}(") > 1}
        found = every - inner - named
    return sorted(found)


def _versions(
    survey: Survey, built: Sequence[Network], used: Mapping[str, Uses], trainers: Collection[str]
) -> dict[Network, frozenset[str]]:
    """By network: what it tells apart itself and what those that build it ask for; else, as what is trained with it."""
    found: dict[Network, frozenset[str]] = {}
    for network in built:
        path, name = network
        tree = survey.syntax(path)
        own = [
            own_versions(node, constants(tree))
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name == name
        ]
        asked = [use.built[network] for use in used.values() if network in use.built]
        found[network] = frozenset().union(*own, *asked)
    told = dict(found)
    for path in trainers:
        together = used[path].built
        for network in together:
            if not told[network]:
                found[network] |= frozenset().union(*(told[other] for other in together))
    return found


def _trainer(survey: Survey, path: str, use: Uses, versions: Mapping[Network, frozenset[str]]) -> PortedTrainer:
    trained = frozenset().union(*(versions[network] for network in use.built)) | adapters(survey, path)
    return PortedTrainer(path, tuple(sorted({name for _, name in use.built})), tuple(in_order(trained)))
