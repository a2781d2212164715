"""The networks of a tree, which of them build which, and which are trained; from syntax trees, nothing is executed."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .closure import closure
from .facts import base_names, is_network, syntax

Class = tuple[str, str]  # path of its file, name


@dataclass(slots=True)
class _File:
    bases: dict[str, list[str]] = field(default_factory=dict)  # class at the top → last names of its bases
    torch: set[str] = field(default_factory=set)  # classes that derive from one of torch's
    used: dict[str, set[str]] = field(default_factory=dict)  # class → last names of all that it mentions
    mentioned: set[str] = field(default_factory=set)  # by the whole file
    imported: set[str] = field(default_factory=set)  # last parts of modules, and names taken from them
    trains: bool = False


class Networks:
    """What the files of a tree define and build. Files that are not Python say nothing."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """`texts` by path."""
        self._files = {path: _read(text) for path, text in texts.items()}

    @cached_property
    def classes(self) -> frozenset[Class]:
        """All classes that derive from torch's Module, directly or not."""
        derived = self._derived()
        of_torch = ((path, name) for path, file in self._files.items() for name in file.torch)
        return closure(of_torch, lambda above: (one for class_ in above for one in derived.get(class_, ())))

    def _derived(self) -> Mapping[Class, set[Class]]:
        """By class: those that may derive from it, by the names of their bases."""
        named = _by_name((path, name) for path, file in self._files.items() for name in file.bases)
        found: dict[Class, set[Class]] = defaultdict(set)
        for path, file in self._files.items():
            for name, bases in file.bases.items():
                for above in (one for base in bases for one in self._meant(path, base, named)):
                    found[above].add((path, name))
        return found

    def _meant(self, path: str, name: str, named: Mapping[str, list[Class]]) -> list[Class]:
        """The classes that a name in a file may mean: its own, else those of modules that it imports."""
        candidates = named.get(name, [])
        own = [one for one in candidates if one[0] == path]
        imported = self._files[path].imported
        return own or [one for one in candidates if _stem(one[0]) in imported or (name in imported)]

    @cached_property
    def _named(self) -> Mapping[str, list[Class]]:
        return _by_name(self.classes)

    @cached_property
    def builds(self) -> Mapping[Class, frozenset[Class]]:
        """The networks that a network mentions, which it builds or derives from."""
        return {
            (path, name): frozenset(one for used in self._files[path].used[name] for one in self._near(path, used))
            - {(path, name)}
            for path, name in self.classes
        }

    def _near(self, path: str, name: str) -> list[Class]:
        """The networks that a name in a file stands for."""
        return _nearest(path, self._meant(path, name, self._named))

    @cached_property
    def trained(self) -> frozenset[Class]:
        """The networks that files mention which compute gradients."""
        trainers = {path: file.mentioned for path, file in self._files.items() if file.trains}
        return frozenset(one for path, names in trainers.items() for name in names for one in self._near(path, name))

    def parts(self, one: Class) -> frozenset[Class]:
        """A network with all that it is built of."""
        return closure([one], lambda found: (part for each in found for part in self.builds.get(each, ())))

    def main(self, among: Iterable[Class]) -> list[Class]:
        """The networks of those that have most parts."""
        sizes = {one: len(self.parts(one)) for one in among}
        most = max(sizes.values(), default=0)
        return sorted(one for one, size in sizes.items() if size == most)


def _by_name(classes: Iterable[Class]) -> Mapping[str, list[Class]]:
    found: dict[str, list[Class]] = defaultdict(list)
    for one in classes:
        found[one[1]].append(one)
    return found


def _stem(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return folder.rpartition("/")[2] if name == "__init__.py" else name.removesuffix(".py")


def _nearest(path: str, candidates: list[Class]) -> list[Class]:
    """Of several classes of one name, those whose files lie nearest: copies of old versions are far."""
    if len(candidates) < 2:
        return candidates
    shared = {one: _shared(path, one[0]) for one in candidates}
    return [one for one in candidates if shared[one] == max(shared.values())]


def _shared(left: str, right: str) -> tuple[int, int]:
    """How many folders two paths have in common, and how few the second has beyond them."""
    ours, theirs = left.split("/")[:-1], right.split("/")[:-1]
    common = 0
    for a, b in zip(ours, theirs, strict=False):
        if a != b:
            break
        common += 1
    return common, common - len(theirs)


def _read(text: str) -> _File:
    found = _File()
    try:
        tree = syntax(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    renamed: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                _read_import(node, renamed, found)
            case ast.Attribute(attr=name):
                found.mentioned.add(name)
                found.trains |= name in ("backward", "manual_backward")
            case ast.Name(id=name):
                found.mentioned.add(name)
    for statement in _top(tree.body):
        _read_class(statement, renamed, found)
    found.mentioned = {renamed.get(name, name) for name in found.mentioned}
    return found


def _read_import(statement: ast.Import | ast.ImportFrom, renamed: dict[str, str], found: _File) -> None:
    """Note what a statement imports, and in `renamed` the names that it gives to names of other files."""
    found.imported |= {alias.name.rpartition(".")[2] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom):
        found.imported.add((statement.module or "").rpartition(".")[2])
        renamed.update((alias.asname, alias.name) for alias in statement.names if alias.asname)


def _read_class(statement: ast.ClassDef, renamed: Mapping[str, str], found: _File) -> None:
    """Note what a class derives from and what it uses, by the names that imports have `renamed`."""
    found.bases[statement.name] = [names[-1] for base in statement.bases if (names := base_names(base))]
    if any(is_network(base) for base in statement.bases):
        found.torch.add(statement.name)
    found.used[statement.name] = {
        renamed.get(part.id, part.id) if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(statement)
        if isinstance(part, (ast.Name, ast.Attribute))
    }


def _top(body: list[ast.stmt]) -> Iterable[ast.ClassDef]:
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield statement
        elif isinstance(statement, (ast.If, ast.Try)):
            yield from _top(statement.body)
            yield from _top(statement.orelse)
