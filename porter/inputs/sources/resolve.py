"""Which files of upstream an import statement means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    place = join(base, *name.split("."))
    shown = place.replace("/", ".") if statement.level else name
    if not tree.exists(place):
        return Meaning(missing=shown if tree.inside(place) else "")
    own = tree.module_file(place)
    chain = tuple(_chain(base, name, own, tree))
    members = _submodules(place, own, statement.names, tree)
    found = [Module(f"{shown}.{member}", file, (*chain, file)) for member, file in members if file is not None]
    if own is not None:
        found.insert(0, Module(shown, own, chain))
    lacking = _lacking(own, members, facts) if place == tree.root and own != path else ""
    return Meaning(tuple(found), lacking and f"{shown}.{lacking}")


def _chain(base: str, name: str, own: str | None, tree: Tree) -> Iterator[str]:
    """The files that the import of a module executes: those of the packages around it, and its `own`."""
    parts = name.split(".")
    yield from filter(tree.has, (join(base, *parts[:i], "__init__.py") for i in range(1, len(parts))))
    if own is not None:
        yield own


def _submodules(place: str, own: str | None, names: Iterable[str], tree: Tree) -> list[tuple[str, str | None]]:
    """The names that a statement takes from a module, each with its file where it is a module inside that one."""
    is_package = own is None or own.endswith("/__init__.py")
    return [(name, tree.module_file(f"{place}/{name}") if is_package else None) for name in names if name != "*"]


def _lacking(own: str | None, members: Sequence[tuple[str, str | None]], facts: Callable[[str], Facts]) -> str:
    """The last of some names that is neither a module inside a package nor bound by the package's own file."""
    absent = (name for name, file in reversed(members) if file is None)
    return next((name for name in absent if own is None or not facts(own).binds(name)), "")
