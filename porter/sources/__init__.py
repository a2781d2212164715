"""Which of upstream's files are ported: the folder `module`, the networks it imports, its trainers and its GPT."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import PortError
from .root import find_module_root, folder_of, licence, module_files
from .scope import Scope, in_groups, scope_digest, survey_scope
from .speaking import speaking_files
from .trainers import FOLDER as TRAINERS
from .trainers import trainer_files
from .tree import Tree

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot
    from .reach import Needs

__all__ = [
    "TRAINERS",
    "Needs",
    "Scope",
    "Sources",
    "Tree",
    "collect",
    "digest",
    "find_module_root",
    "folder_of",
    "in_groups",
    "licence",
    "module_files",
    "place",
    "scope_digest",
    "speaking_files",
    "survey_scope",
    "top_names",
    "trainer_files",
]


@dataclass(frozen=True, slots=True)
class Sources:
    """The files in scope, decoded, and what was looked at to know that they are."""

    module_root: str  # the folder `module`, such as GPT_SoVITS/module
    prefix: str  # the folder around it, "" at the top of the tree
    texts: Mapping[str, tuple[str, str]]  # path → place inside the emitted package, text
    encodings: Mapping[str, str]  # path → codec of the bytes
    sha256: Mapping[str, str]  # path → hash of the bytes
    consulted: Mapping[str, str]  # path → hash of files that were read and stay upstream's
    shape: str  # hash of the names of the files that imports could have meant
    licence: str  # its name, "" where upstream states none
    needs: Needs
    scope: Scope = field(default_factory=Scope)  # what is ported, and what is not


def collect(snapshot: Snapshot) -> Sources:
    """The files of `snapshot` to port. PortError names one that is missing, is not text or is not Python."""
    from .reach import Reach  # late, since a run with nothing to do needs no syntax tree

    root = find_module_root(snapshot)
    tree = Tree(snapshot, root)
    reach = Reach(tree)
    reach.follow((*module_files(snapshot, root), *speaking_files(snapshot, root)))
    scripts = trainer_files(snapshot, root)
    trainers = reach.train(scripts)
    ported, consulted = reach.split()
    needs = reach.needs(ported)
    texts: dict[str, tuple[str, str]] = {}
    taken: dict[str, str] = {}
    for path in ported:
        target = f"{TRAINERS}/{path.rpartition('/')[2]}" if path in trainers else place(path, root)
        if target in taken:
            raise PortError(f"{path} and {taken[target]} would both become {target} in the emitted package")
        taken[target] = path
        texts[path] = (target, reach.files[path].text)
    return Sources(
        module_root=root,
        prefix=folder_of(root),
        texts=texts,
        encodings={path: reach.files[path].encoding for path in ported},
        sha256={path: digest(snapshot.read(path)) for path in ported},
        consulted={path: digest(snapshot.read(path)) for path in consulted},
        shape=tree.shape(top_names(tree, ported, needs.upstream)),
        licence=licence(snapshot),
        needs=needs,
        scope=survey_scope(tree, ported, scripts),
    )


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def place(path: str, root: str) -> str:
    """Where a file of upstream goes inside the emitted package, when `root` is the folder `module`."""
    if path.startswith(f"{root}/"):
        return path.removeprefix(f"{root}/")
    prefix = folder_of(root)
    return path.removeprefix(f"{prefix}/") if prefix else path


def top_names(tree: Tree, ported: Iterable[str], modules: Iterable[str]) -> set[str]:
    """The top-level names of upstream that were read outside the folder `module`."""
    names = {tree.package(path).rpartition("/")[2] for path in ported if not tree.inside(path)}
    for module in modules:
        parts = module.split(".")
        # `GPT_SoVITS.text` is `text` below the folder GPT_SoVITS.
        names.add(parts[1] if parts[0] == tree.prefix and len(parts) > 1 else parts[0])
    return names
