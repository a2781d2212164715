"""Following imports from the folder `module` through the tree, to the networks that it uses elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import PortError
from .facts import Facts, read_facts
from .resolve import Module, resolve
from .root import has_torch
from .text import decode
from .tree import Tree

# The second part is gone from newer standard libraries; with it every Python writes the same port.json.
_STANDARD = sys.stdlib_module_names | frozenset(
    (
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr"),
        *("imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr"),
        *("spwd", "sunau", "telnetlib", "uu", "xdrlib"),
    )
)

_BEHIND = {"torch.utils.tensorboard": "tensorboard"}  # modules of torch that import another package


@dataclass(frozen=True, slots=True)
class Reached:
    """One file that was read, and what it imports."""

    text: str
    encoding: str
    facts: Facts
    modules: tuple[Module, ...] = ()  # of upstream
    third_party: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()  # packages that the file goes on without

    @property
    def links(self) -> frozenset[str]:
        """The files of upstream that an import of this file executes."""
        return frozenset(link for module in self.modules for link in module.chain)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the emitted package imports and does not hold."""

    upstream: tuple[str, ...] = ()  # modules of upstream that are not ported, such as tools.my_utils
    third_party: tuple[str, ...] = ()  # packages to install, such as torch
    optional: tuple[str, ...] = ()  # packages that upstream goes on without
    trainers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # trainer → packages that it wants as well


class Reach:
    """The files that can be reached from the folder `module` by import."""

    def __init__(self, tree: Tree) -> None:
        """Nothing is read yet."""
        self.files: dict[str, Reached] = {}
        self._tree = tree
        self._scripts: set[str] = set()
        self._trainers: set[str] = set()  # the scripts and what goes with them

    def follow(self, paths: Iterable[str]) -> None:
        """Read these files and everything of the tree that they import."""
        pending = sorted(paths)
        while pending:
            contents = self._tree.snapshot.read_many(pending)
            for path, content in contents.items():
                self.files[path] = self._read(path, content)
            links = {link for path in contents for link in self._worth_following(path)}
            pending = sorted(links - self.files.keys())

    def train(self, scripts: Iterable[str]) -> frozenset[str]:
        """Read these trainers and the files beside them that they compute or store with; all their paths."""
        self._scripts |= set(scripts)
        pending = set(self._scripts)
        while pending:
            self._trainers |= pending
            self.follow(pending - self.files.keys())
            beside = {link for path in pending for link in self.files[path].links if self._tree.beside(link)}
            self.follow(beside - self.files.keys())
            pending = {path for path in beside if self.files[path].facts.uses_torch} - self._trainers
        return frozenset(self._trainers)

    def split(self) -> tuple[list[str], list[str]]:
        """Paths to port, and paths that were read only to find them.

        Outside the folder `module` a file is ported when it defines networks, re-exports them from its own
        package, computes with torch in a package that holds some, or belongs to a trainer.
        """
        tree = self._tree
        outside = {path for path in self.files if not tree.inside(path)}
        networks = {path for path in outside if self.files[path].facts.defines_network}
        packages = {tree.package(path) for path in networks}
        size = -1
        while size != len(networks):
            size = len(networks)
            networks |= {
                path
                for path in outside
                if tree.package(path) in packages
                and (self.files[path].facts.uses_torch or self.files[path].links & networks)
            }
        ported = networks | self._trainers | (self.files.keys() - outside)
        return sorted(ported), sorted(self.files.keys() - ported)

    def needs(self, ported: Iterable[str]) -> Needs:
        """What these files import from outside themselves."""
        held = set(ported)
        files = [self.files[path] for path in held - self._trainers]
        third_party = {name for file in files for name in file.third_party}
        return Needs(
            tuple(sorted({m.name for path in held for m in self.files[path].modules if m.file not in held})),
            tuple(sorted(third_party)),
            tuple(sorted({name for file in files for name in file.optional} - third_party)),
            {path: tuple(sorted(self._training_needs(path) - third_party)) for path in sorted(self._scripts)},
        )

    def _training_needs(self, script: str) -> set[str]:
        """Packages that a trainer and the files beside it that go with it import."""
        found: set[str] = set()
        pending, seen = {script}, {script}
        while pending:
            files = [self.files[path] for path in pending]
            found |= {name for file in files for name in file.third_party}
            pending = {link for file in files for link in file.links if link in self._trainers} - seen
            seen |= pending
        return found

    def _worth_following(self, path: str) -> Iterable[str]:
        """Links of a file; outside the folder `module` only those to its own package, lest all be read."""
        links, tree = self.files[path].links, self._tree
        if tree.inside(path):
            return links
        return (link for link in links if tree.inside(link) or tree.package(link) == tree.package(path))

    def _read(self, path: str, content: bytes) -> Reached:
        try:
            text, encoding = decode(path, content)
            facts = read_facts(path, text)
        except PortError:
            if self._tree.inside(path) or has_torch(content):
                raise
            return Reached("", "utf-8", Facts())  # it stays upstream's, whatever it is
        modules: dict[Module, None] = {}
        needed: dict[bool, set[str]] = {False: set(), True: set()}
        for statement in facts.imports:
            first = statement.module.partition(".")[0]
            if not statement.level and first in _STANDARD:
                continue
            if statement.module in _BEHIND:
                needed[statement.optional].add(_BEHIND[statement.module])
            meaning = resolve(path, statement, self._tree, self._facts)
            if meaning is None:
                needed[statement.optional].add(first)
                continue
            strict = self._tree.inside(path) or facts.defines_network
            if meaning.missing and strict and not statement.optional:
                raise PortError(
                    f"{path} imports {meaning.missing} in line {statement.line}, and upstream holds no such file"
                )
            modules.update(dict.fromkeys(meaning.modules))
        return Reached(text, encoding, facts, tuple(modules), frozenset(needed[False]), frozenset(needed[True]))

    def _facts(self, path: str) -> Facts:
        known = self.files.get(path)
        return known.facts if known else read_facts(path, decode(path, self._tree.snapshot.read(path))[0])
