"""What of upstream is ported, what runs on the host as upstream has it, and what is not ported."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .layout import folder_of
from .survey import Survey
from .uses import Role, adapters, uses
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
    # What ported files import, what prepares datasets, what that imports, and what only uses that:
    host: tuple[str, ...] = ()
    not_ported: tuple[str, ...] = ()  # the rest, if it computes with torch
    left_out: tuple[str, ...] = ()  # those of them that hold networks or train, and import what is ported
    training: tuple[str, ...] = ()  # files that a training run starts with, ported or not
    inference: tuple[str, ...] = ()  # files that build ported networks to speak with
    digest: str = ""  # of all that this was read from


def survey_scope(tree: Tree, ported: Collection[str], trainers: Collection[str]) -> Scope:
    """The scope of a port that holds the files `ported`, `trainers` among them. Nothing is executed."""
    around = _Surroundings(tree, ported, trainers)
    versions = around.versions()
    rest = tuple(path for path in around.left if path not in around.host and around.survey.uses_torch(path))
    return Scope(
        networks=tuple(PortedNetwork(name, file, tuple(in_order(versions[file, name]))) for file, name in versions),
        trainers=tuple(around.trainer(path, versions) for path in sorted(trainers)),
        host=tuple(sorted(around.host)),
        not_ported=rest,
        left_out=tuple(filter(around.uses_port, rest)),
        training=tuple(sorted(around.of_role(Role.TRAINS) - around.host | set(trainers))),
        inference=tuple(sorted(around.speaking())),
        digest=scope_digest(tree, ported),
    )


def scope_digest(tree: Tree, ported: Collection[str]) -> str:
    """A hash of the files around the folder `module` that are not ported; while it stays, so does the scope."""
    left = [path for path in Survey(tree).paths if path not in ported]
    found = hashlib.sha256()
    for path, content in tree.snapshot.read_many(left).items():
        found.update(f"{path}\n{hashlib.sha256(content).hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def in_groups(paths: Sequence[str], around: str) -> list[str]:
    """The files by the first folder below `around`, as words: `AR (24 files)`, `s1_train.py`."""
    start = f"{around}/" if around else ""
    below = [path.removeprefix(start) for path in paths]
    counts = Counter(path.partition("/")[0] for path in below if "/" in path)
    folders = [f"{name} ({count} file{'s' if count > 1 else ''})" for name, count in counts.items()]
    return [*folders, *(path for path in below if "/" not in path)]


_LEARNS = re.compile(r"\.(?:manual_)?backward[ \t]*\(")


class _Surroundings:
    """What the files of a tree that are not ported are to the port."""

    def __init__(self, tree: Tree, ported: Collection[str], trainers: Collection[str]) -> None:
        """`trainers` are among the files that are `ported`."""
        self.survey = Survey(tree)
        self.left = [path for path in self.survey.paths if path not in ported]
        self._ported, self._trainers = frozenset(ported), trainers
        self._networks = {path: frozenset(self.survey.facts(path).networks) for path in ported}
        scripts = {*trainers, *(path for path in self.left if not tree.inside(path))}
        self._used = {path: uses(self.survey, path, self._networks) for path in sorted(scripts)}
        self.host = self._find_host()

    def of_role(self, role: Role) -> set[str]:
        """The files that are not ported and have a role."""
        return {path for path, use in self._used.items() if use.role is role} - self._ported

    def _find_host(self) -> frozenset[str]:
        """What ported files import, what prepares datasets, all that these import, and what only uses that."""
        survey, preparing = self.survey, self._preparing()
        imported = survey.reach({*self._ported, *preparing}) - self._ported - preparing
        host = frozenset(preparing.union(path for path in imported if survey.text(path).strip()))  # what does something
        computing = frozenset(filter(survey.uses_torch, self.left))
        others = {path for path in computing & self.of_role(Role.OTHER) if not survey.facts(path).networks}
        used = {path: survey.reach([path]) & computing - {path} for path in others - host}
        return host.union(path for path, files in used.items() if files and files <= host)

    def _preparing(self) -> set[str]:
        """Files that prepare datasets, and all in their folders, but for that around the main folder."""
        found = self.of_role(Role.PREPARES)
        folders = {folder_of(path) for path in found} - {self.survey.tree.prefix}
        return found.union(path for path in self.left if folder_of(path) in folders)

    def speaking(self) -> set[str]:
        """Files that build ported networks to speak with, and those with tensors that import them."""
        survey = self.survey
        first = {path for path in self.of_role(Role.SPEAKS) - self.host if self._used[path].built}
        others = filter(survey.uses_torch, self.of_role(Role.OTHER) - self.host - survey.reach(first))
        return first.union(path for path in others if survey.reach([path]) & first)

    def uses_port(self, path: str) -> bool:
        """Whether a file defines networks or computes gradients, and imports what is ported."""
        works = self.survey.facts(path).defines_network or _LEARNS.search(self.survey.text(path)) is not None
        return works and any(file in self._ported for files in self.survey.links(path).values() for file in files)

    def _built(self) -> set[Network]:
        """The networks that others build; where nobody does, those that no other network of the port does."""
        built = {network for use in self._used.values() for network in use.built}
        return built or set(self._unused())

    def _unused(self) -> Iterator[Network]:
        """The networks of the port that no file of it builds, their own included."""
        used = {path: uses(self.survey, path, self._networks).built for path in self._ported}
        inner = {network for path, built in used.items() for network in built if network[0] != path}
        for path, names in self._networks.items():
            text = self.survey.text(path)
            yield from ((path, name) for name in names if (path, name) not in inner and text.count(f"{name}(") < 2)

    def versions(self) -> dict[Network, frozenset[str]]:
        """By network: what it tells apart and what those that build it ask for; else, as what it is trained with."""
        told = {network: self._named_for(network) for network in sorted(self._built())}
        found = dict(told)
        for together in (self._used[path].built for path in self._trainers):
            for network in (network for network in together if not told[network]):
                found[network] |= frozenset().union(*(told[other] for other in together))
        return found

    def _named_for(self, network: Network) -> frozenset[str]:
        """The versions that a network's own class tells apart, and those for which others build it."""
        path, name = network
        tree = self.survey.syntax(path)
        classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        asked = (use.built.get(network, frozenset()) for use in self._used.values())
        return frozenset().union(*(own_versions(node, constants(tree)) for node in classes), *asked)

    def trainer(self, path: str, versions: Mapping[Network, frozenset[str]]) -> PortedTrainer:
        """What a trainer builds and trains, by the `versions` of networks."""
        built = self._used[path].built
        trained = frozenset().union(*(versions[network] for network in built)) | adapters(self.survey, path)
        return PortedTrainer(path, tuple(sorted({name for _, name in built})), tuple(in_order(trained)))
