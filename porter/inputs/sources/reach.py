"""Following imports from the main folder through the tree, to the networks that it uses elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import PortError
from ...syntax.text import decode
from .carried import REPLACED, spared
from .closure import closure
from .facts import Facts, Import, read_facts
from .layout import TRAINERS, folder_of, join
from .placing import RUNTIME
from .resolve import Module, resolve
from .root import has_torch
from .tree import Tree

_OWN = RUNTIME | {TRAINERS}  # names in the emitted package that are its own

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
    later: frozenset[str] = frozenset()  # those of `third_party` that only functions import, when they are called
    on_import: frozenset[str] = frozenset()  # those of `links` that are executed when the file is, and have to be
    taken: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # file → names, None: not only names
    relative: frozenset[str] = frozenset()  # files that it imports by their place beside it

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
    trainers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # trainer → packages that it imports as well
    later: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # trainer → those that its functions import
    outside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # file from elsewhere → what it imports too


@dataclass(slots=True)
class _Imported:
    """What the import statements of one file have brought so far."""

    modules: dict[Module, None] = field(default_factory=dict)
    needed: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})  # by: is it optional
    at_once: set[str] = field(default_factory=set)
    on_import: set[str] = field(default_factory=set)
    relative: set[str] = field(default_factory=set)
    taken: dict[str, frozenset[str] | None] = field(default_factory=dict)

    def add_packages(self, statement: Import, *, known: bool) -> None:
        """Note the packages of others behind a statement; `known`: what it names is upstream's own."""
        packages = {_BEHIND[statement.module]} if statement.module in _BEHIND else set()
        if not known:
            packages.add(statement.package)
        self.needed[statement.optional] |= packages
        if not statement.later:
            self.at_once |= packages

    def add_modules(self, statement: Import, modules: Sequence[Module]) -> None:
        """Note upstream's own files behind a statement."""
        self.modules.update(dict.fromkeys(modules))
        if statement.level and not statement.optional:
            self.relative |= {module.file for module in modules}
        if not (statement.later or statement.optional):
            self.on_import |= {file for module in modules for file in module.chain}
        names = statement.only_names if len(modules) == 1 else None
        for module in modules:
            _take(self.taken, module.file, names)


def _take(taken: dict[str, frozenset[str] | None], file: str, names: frozenset[str] | None) -> None:
    """Note that these names are taken from a file; None for more than names."""
    before = taken.get(file, frozenset())
    taken[file] = None if names is None or before is None else before | names


def _in_order(packages: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {path: tuple(sorted(names)) for path, names in sorted(packages.items())}


class Reach:
    """The files that can be reached from the main folder by import."""

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
        """Read these trainers and the files beside them, or around them, that they compute or store with; all their
        paths.
        """
        self._scripts |= set(scripts)
        networks = frozenset(self.files)

        def beside(paths: set[str]) -> set[str]:
            self.follow(paths - self.files.keys())
            linked = {link for path in paths for link in self.files[path].links if self._belongs(link, networks)}
            self.follow(linked - self.files.keys())
            return {path for path in linked if self.files[path].facts.uses_torch}

        self._trainers |= closure(self._scripts, beside)
        return frozenset(self._trainers)

    def _belongs(self, link: str, networks: frozenset[str]) -> bool:
        """Whether a file that a trainer imports goes with it, and is not one of the networks' own."""
        return link not in networks if self._tree.layout.flat else not self._tree.inside(link)

    def split(self) -> tuple[list[str], list[str]]:
        """Paths to port, and paths that were read only to find them.

        Outside the main folder a file is ported when it computes with torch, re-exports networks from its own package,
        or belongs to a trainer; and what such a file imports by its place beside it.
        """
        outside = {path for path in self.files if not self._tree.inside(path)}
        ported = self._networks(outside) | self._trainers | (self.files.keys() - outside)
        ported |= {path for path in outside if self.files[path].facts.uses_torch}
        ported |= closure(ported & outside, self._beside)
        closure(ported, self._executed)  # only to have them read
        ported |= self._worth_carrying(ported)
        return sorted(ported), sorted(self.files.keys() - ported)

    def _networks(self, outside: Iterable[str]) -> frozenset[str]:
        """Files that define networks, those of their packages that use torch, and what imports such a file there."""
        defining = {path for path in outside if self.files[path].facts.defines_network}
        packages = {self._tree.package(path) for path in defining}
        there = {path for path in outside if self._tree.package(path) in packages}
        computing = {path for path in there if self.files[path].facts.uses_torch}
        return closure(defining | computing, lambda found: (p for p in there if self.files[p].links & found))

    def _beside(self, paths: Iterable[str]) -> set[str]:
        """Files that these import relatively, which are read."""
        links = {link for path in paths for link in self.files[path].relative}
        self.follow(links - self.files.keys())
        return links

    def _executed(self, paths: Iterable[str]) -> set[str]:
        """Files that run when these are imported. Those that are not read yet stay upstream's, and are read as such."""
        links = self._on_import(paths)
        for path, content in self._tree.snapshot.read_many(sorted(links - self.files.keys())).items():
            self.files[path] = self._read(path, content, lenient=True)
        return links

    def _on_import(self, paths: Iterable[str]) -> set[str]:
        return {link for path in paths for link in self.files[path].on_import}

    def _worth_carrying(self, ported: Iterable[str]) -> frozenset[str]:
        """Files of functions that ported files take, whose import wants packages which these functions do not need."""
        taken: dict[str, frozenset[str] | None] = {}
        for path in ported:
            for other, names in self.files[path].taken.items():
                _take(taken, other, names)
        return frozenset(path for path in taken.keys() - set(ported) if self._is_worth_carrying(path, taken[path]))

    def _is_worth_carrying(self, path: str, names: frozenset[str] | None) -> bool:
        """Whether only these functions are taken from a file, and it imports packages that they do not need."""
        file = self.files.get(path)
        if file is None or not names or not names <= file.facts.defined or not self._has_room(path):
            return False
        return bool(file.third_party & (spared(file.text, names) | REPLACED))

    def _has_room(self, path: str) -> bool:
        """Whether nothing else in the emitted package has the name that a file from outside would have there."""
        tree = self._tree
        name = tree.package(path).rpartition("/")[2]
        return name not in _OWN and not tree.exists(join(tree.root, name))

    def needs(self, ported: Iterable[str]) -> Needs:
        """What these files import from outside themselves."""
        held = set(ported)
        own = held - self._trainers
        outside = {path for path in own if not self._tree.inside(path)}
        third_party = self._third_party(own - outside) | self._foreign(own, held)
        optional = {name for path in own for name in self.files[path].optional}
        training = list(self._for_training(held))
        return Needs(
            tuple(sorted(self._left_upstream(held))),
            tuple(sorted(third_party)),
            tuple(sorted(optional - third_party)),
            _in_order({path: wanted - later - third_party for path, wanted, later in training}),
            _in_order({path: later - third_party for path, _, later in training}),
            _in_order({path: self.files[path].third_party for path in outside}),
        )

    def _left_upstream(self, held: set[str]) -> set[str]:
        """The modules of upstream that files import and that are not among them."""
        return {module.name for path in held for module in self.files[path].modules if module.file not in held}

    def _for_training(self, held: set[str]) -> Iterator[tuple[str, set[str], set[str]]]:
        """By trainer: the packages that it and what goes with it need, and those of them that only functions import."""
        for script in self._scripts:
            files = self._training_files(script)
            yield script, self._third_party(files) | self._foreign(files, held), self._only_later(files)

    def _third_party(self, paths: Iterable[str]) -> set[str]:
        """The packages that files import."""
        return {name for path in paths for name in self.files[path].third_party}

    def _only_later(self, paths: Iterable[str]) -> set[str]:
        """The packages that no file imports when it is imported itself."""
        files = [self.files[path] for path in paths]
        at_once = {name for file in files for name in file.third_party - file.later}
        return {name for file in files for name in file.later} - at_once

    def _training_files(self, script: str) -> frozenset[str]:
        """A trainer and the files beside it that go with it."""
        return closure(
            [script], lambda paths: self._trainers & {link for path in paths for link in self.files[path].links}
        )

    def _foreign(self, files: Iterable[str], held: set[str]) -> set[str]:
        """Packages that are imported when files that stay upstream's are, because `files` import these."""
        there = closure(self._on_import(files) - held, lambda paths: self._on_import(paths) - held)
        return {name for path in there for name in self.files[path].third_party - self.files[path].later}

    def _worth_following(self, path: str) -> Iterable[str]:
        """Links of a file; outside the main folder only those to its own package, lest all be read."""
        links, tree = self.files[path].links, self._tree
        if tree.inside(path):
            return links
        return (link for link in links if tree.inside(link) or tree.package(link) == tree.package(path))

    def _read(self, path: str, content: bytes, *, lenient: bool = False) -> Reached:
        """What a file imports; PortError where it ought to be ported and cannot be read, unless `lenient`."""
        try:
            text, encoding = decode(path, content)
            facts = read_facts(path, text)
        except PortError:
            if not lenient and (self._tree.inside(path) or has_torch(content)):
                raise
            return Reached("", "utf-8", Facts())  # it stays upstream's, whatever it is
        strict = not lenient and (self._tree.inside(path) or facts.defines_network)
        found = _Imported()
        for statement in facts.imports:
            if not statement.is_standard:
                self._add(path, statement, found, strict=strict)
        return Reached(
            text,
            encoding,
            facts,
            tuple(found.modules),
            third_party=frozenset(found.needed[False]),
            optional=frozenset(found.needed[True]),
            later=frozenset(found.needed[False] - found.at_once),
            on_import=frozenset(found.on_import),
            taken=found.taken,
            relative=frozenset(found.relative),
        )

    def _add(self, path: str, statement: Import, found: _Imported, *, strict: bool) -> None:
        """Note what a statement imports; PortError where upstream lacks it, with `strict`."""
        meaning = resolve(path, statement, self._tree, self._facts)
        found.add_packages(statement, known=meaning is not None)
        if meaning is None:
            return
        if meaning.missing and strict and not statement.optional and not self._is_extension(path, meaning.missing):
            raise PortError(
                f"{path} imports {meaning.missing} in line {statement.line}, and upstream holds no such file"
            )
        found.add_modules(statement, meaning.modules)

    def _is_extension(self, path: str, missing: str) -> bool:
        """Whether a module that upstream lacks is one that it builds of Cython's sources beside the importing file."""
        source = f"{missing.rpartition('.')[2]}.pyx"
        return any(file.rpartition("/")[2] == source for file in self._tree.snapshot.files(folder_of(path)))

    def _facts(self, path: str) -> Facts:
        known = self.files.get(path)
        return known.facts if known else self._tree.facts(path)
