"""Which of upstream's files are ported: the main folder, the networks it imports, its trainers and its GPT."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .foreign import refuse_foreign
from .layout import MODULE, TRAINERS, Arrangement, Layout, folder_of, join
from .placing import Placed
from .root import find_layout, licence, main_files
from .scope import Scope, in_groups, scope_digest, survey_scope
from .speaking import speaking_files
from .trainers import trainer_files
from .tree import Tree

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot
    from .reach import Needs

__all__ = [
    "MODULE",
    "TRAINERS",
    "Arrangement",
    "Layout",
    "Needs",
    "Scope",
    "Sources",
    "Tree",
    "collect",
    "digest",
    "find_layout",
    "folder_of",
    "in_groups",
    "join",
    "licence",
    "main_files",
    "scope_digest",
    "speaking_files",
    "survey_scope",
    "top_names",
    "trainer_files",
]


@dataclass(frozen=True, slots=True)
class Sources:
    """The files in scope, decoded, and what was looked at to know that they are."""

    layout: Layout
    texts: Mapping[str, tuple[str, str]]  # path → place inside the emitted package, text
    encodings: Mapping[str, str]  # path → codec of the bytes
    sha256: Mapping[str, str]  # path → hash of the bytes
    consulted: Mapping[str, str]  # path → hash of files that were read and stay upstream's
    shape: str  # hash of the names of the files that imports could have meant
    licence: str  # its name, "" where upstream states none
    needs: Needs
    arrangement: Arrangement
    scope: Scope = field(default_factory=Scope)  # what is ported, and what is not

    @property
    def module_root(self) -> str:
        """The main folder, such as GPT_SoVITS/module."""
        return self.layout.root

    @property
    def prefix(self) -> str:
        """The folder that bare imports start from first, "" at the top of the tree."""
        return self.layout.prefix


def collect(snapshot: Snapshot, asked: Iterable[str] = ()) -> Sources:
    """The files of `snapshot` to port; `asked` are main folders that a person named.

    PortError names a file that is missing, is not text or is not Python.
    """
    from .reach import Reach  # late, since a run with nothing to do needs no syntax tree

    layout = find_layout(snapshot, asked)
    tree = Tree(snapshot, layout)
    reach = Reach(tree)
    scripts = trainer_files(tree)
    reach.follow({*main_files(snapshot, layout), *speaking_files(snapshot, layout)} - set(scripts))
    refuse_foreign(snapshot.spec, (file.facts for path, file in reach.files.items() if layout.inside(path)))
    trainers = reach.train(scripts)
    ported, consulted = reach.split()
    needs = reach.needs(ported)
    placed = Placed.of(layout, ported, trainers)
    scope = survey_scope(tree, ported, scripts)
    folders = {folder_of(path) for path in trainers if not layout.inside(path)}
    return Sources(
        layout=layout,
        texts={path: (placed.targets[path], reach.files[path].text) for path in ported},
        encodings={path: reach.files[path].encoding for path in ported},
        sha256={path: digest(snapshot.read(path)) for path in ported},
        consulted={path: digest(snapshot.read(path)) for path in consulted},
        shape=tree.shape(top_names(tree, ported, needs.upstream)),
        licence=licence(snapshot),
        needs=needs,
        arrangement=Arrangement(
            bases=tuple(dict.fromkeys((*layout.starts, *sorted(folders)))),
            main=_main(layout, ported, scope),
            trainers=trainers,
            upstream=frozenset(needs.upstream),
            runtime=placed.runtime,
        ),
        scope=scope,
    )


def _main(layout: Layout, ported: Iterable[str], scope: Scope) -> frozenset[str]:
    """The files that people import: all of a folder `module` and of those asked for, else those of the main folder
    whose networks others build.
    """
    inside = frozenset(path for path in ported if layout.inside(path))
    asked = frozenset(path for path in ported if any(not f or path.startswith(f"{f}/") for f in layout.more))
    built = inside & {network.file for network in scope.networks}
    return (inside if layout.is_module else built or inside) | asked


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def top_names(tree: Tree, ported: Iterable[str], modules: Iterable[str]) -> set[str]:
    """The top-level names of upstream that were read outside the main folder."""
    names = {tree.package(path).rpartition("/")[2] for path in ported if not tree.inside(path)}
    for module in modules:
        parts = module.split(".")
        # `GPT_SoVITS.text` is `text` below the folder GPT_SoVITS.
        names.add(parts[1] if parts[0] == tree.prefix and len(parts) > 1 else parts[0])
    return names
