"""Which files of upstream an import statement means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .layout import folder_of, join

if TYPE_CHECKING:
    from .facts import Facts, Import
    from .tree import Tree

PACKAGE = "GPT_SoVITS"  # the folder that upstream's own absolute imports name


@dataclass(frozen=True, slots=True)
class Module:
    """A module of upstream: its import name, its file, and the files that its import executes on the way."""

    name: str
    file: str
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an import statement reads of upstream's tree; both empty for what is left alone."""

    modules: tuple[Module, ...] = ()
    missing: str = ""  # a module that ought to be in the main folder and is not


def resolve(path: str, statement: Import, tree: Tree, facts: Callable[[str], Facts]) -> Meaning | None:
    """What an import in the file `path` means; None outside the tree. `facts` tells what a file binds."""
    for base, name in _readings(path, statement, tree):
        if name and not tree.exists(join(base, name.partition(".")[0])):
            continue
        place = join(base, *name.split("."))
        installed = tree.layout.installed
        if place == installed or place.startswith(f"{installed}/"):
            return Meaning()  # a port that upstream uses already
        return _members(path, statement, base, name, tree, facts) if place else None
    return Meaning(missing="." * statement.level + statement.module) if statement.level else None


def _readings(path: str, statement: Import, tree: Tree) -> Iterator[tuple[str, str]]:
    """Folder and dotted name below it that an import may mean, most likely first."""
    if statement.level:
        folder = folder_of(path)
        for _ in range(statement.level - 1):
            folder = folder_of(folder)
        yield folder, statement.module
        return
    for base in tree.layout.starts:
        yield base, statement.module
    first, _, rest = statement.module.partition(".")
    if rest and first == PACKAGE and not tree.prefix:
        yield "", rest  # upstream was given as that folder itself
    own = folder_of(path)
    if own not in tree.layout.starts and tree.module_file(join(own, first)) != path:
        yield own, statement.module  # as a script has it, whose own folder imports start from; no file means itself


def _members(path: str, statement: Import, base: str, name: str, tree: Tree, facts: Callable[[str], Facts]) -> Meaning:
    parts = name.split(".") if name else []
    place = join(base, *parts)
    shown = name if name and not statement.level else place.replace("/", ".")
    packages = (join(base, *parts[:i], "__init__.py") for i in range(1, len(parts)))
    chain = tuple(p for p in packages if tree.has(p))
    own = tree.module_file(place)
    if own is None and not tree.is_folder(place):
        return Meaning(missing=shown if tree.inside(place) else "")
    found: list[Module] = []
    missing = ""
    if own is not None:
        chain = (*chain, own)
        found.append(Module(shown, own, chain))
    is_package = own is None or own.endswith("/__init__.py")
    for member in statement.names:
        file = tree.module_file(f"{place}/{member}") if is_package and member != "*" else None
        if file is not None:
            found.append(Module(f"{shown}.{member}", file, (*chain, file)))
        elif member != "*" and place == tree.root and own != path and not _binds(own, member, facts):
            missing = f"{shown}.{member}"
    return Meaning(tuple(found), missing)


def _binds(init: str | None, member: str, facts: Callable[[str], Facts]) -> bool:
    """Whether a package's own file binds a name."""
    if init is None:
        return False
    known = facts(init)
    return member in known.bound or "__getattr__" in known.bound or any("*" in i.names for i in known.imports)
