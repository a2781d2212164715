"""What rules ask for in a file: nodes replaced, and names of imports that come from another module."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import libcst as cst

from ..analysis.project import SourceFile
from ..syntax.scopes import Imported


class Safety(Enum):
    """What a rewrite may do to a result on the CPU."""

    EXACT = "exact"  # bit-identical on the CPU
    CLOSE = "close"  # same mathematics, rounding or padding differs
    CHANGED = "changed"  # documented change of behaviour, off unless selected


class RuleHeader:
    """What a rule says of itself, as the account of its edits tells it."""

    code: ClassVar[str]
    title: ClassVar[str]
    safety: ClassVar[Safety]
    message: ClassVar[str]
    fixes_hazard: ClassVar[bool] = True  # False for layout, such as imports
    ours: ClassVar[bool] = False  # True for the rules that come with the tool; the rule book says so
    supports_double_backward: ClassVar[bool] = True  # False: its kernels have no second derivative


@dataclass(frozen=True, slots=True)
class Needed:
    """What an edit takes for granted: that whatever these rules ask for inside a node is done."""

    inside: cst.CSTNode
    rules: tuple[str, ...]  # codes


@dataclass(frozen=True, slots=True)
class Ties:
    """Which other edits one means nothing without."""

    keys: tuple[Hashable, ...] = ()  # edits that share one are made all, or none
    needs: tuple[Needed, ...] = ()
    needed_in: tuple[cst.CSTNode, ...] = ()  # no edit inside these nodes is right without this one


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """One edit that a rule asks for, on the tree it was shown."""

    rule: type[RuleHeader]
    node: cst.CSTNode
    new: cst.CSTNode | tuple[cst.CSTNode, ...]
    reason: str
    until: cst.CSTNode | None = None  # where it ends, if it means nothing without other edits up to there
    ties: Ties = Ties()
    shared: tuple[tuple[type[RuleHeader], str], ...] = ()  # other rules that wanted part of it, and why


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A name of a from-import that a rule asks to come from another module."""

    rule: type[RuleHeader]
    node: cst.ImportFrom
    target: str  # dotted, as `SourceFile.origin` takes it
    ties: Ties = Ties()

    @property
    def reason(self) -> str:
        """What its rule says of every name that it moves."""
        return self.rule.message


Request = Replacement | Move


class ImportEdit:
    """What several rules together want of one from-import."""

    def __init__(self, node: cst.ImportFrom) -> None:
        """Nothing moved yet."""
        self.node = node
        self.moved: dict[cst.ImportAlias, Move] = {}

    @property
    def kept(self) -> list[cst.ImportAlias]:
        """The names that stay."""
        assert not isinstance(self.node.names, cst.ImportStar)
        return [alias for alias in self.node.names if alias not in self.moved]

    def without(self, refused: Collection[Request]) -> ImportEdit:
        """The same, but for some of the names."""
        left = ImportEdit(self.node)
        left.moved = {alias: move for alias, move in self.moved.items() if move not in refused}
        return left


class Requests:
    """What rules ask for in one file; a fact of it: `file.fact(Requests)`."""

    def __init__(self, file: SourceFile) -> None:
        """Nothing yet."""
        self._file = file
        self.replacements: list[Replacement] = []
        self.import_edits: dict[cst.ImportFrom, ImportEdit] = {}
        self.runtime_aliases: dict[str, str] = {}
        self._runtime_names: dict[str, str | None] = {}  # by which upstream's file imports the runtime itself
        self.visited: cst.CSTNode | None = None  # the node that rules are called for

    def __iter__(self) -> Iterator[Request]:
        """All that rules ask for."""
        yield from self.replacements
        for edit in self.import_edits.values():
            yield from edit.moved.values()

    def move(
        self, rule: type[RuleHeader], key: Hashable, node: cst.ImportFrom, moved: Mapping[cst.ImportAlias, str]
    ) -> None:
        """Ask for some names of a from-import to come from the runtime (or another module) instead."""
        edit = self.import_edits.setdefault(node, ImportEdit(node))
        for alias, target in moved.items():
            edit.moved[alias] = Move(rule, node, target, Ties((key,)))

    def need_runtime(self, package: str) -> str:
        """The name by which this file may use a part of the runtime; its import is added on emission."""
        file = self._file
        if package not in self._runtime_names:
            wanted = f"{file.top}{package}"
            bindings = file.index.root.bindings.items()
            found = (n for n, bound in bindings if any(isinstance(b, Imported) and b.target == wanted for b in bound))
            self._runtime_names[package] = next(found, None)
        name = self._runtime_names[package]
        if name is not None:
            return name
        if package not in self.runtime_aliases:
            self.runtime_aliases[package] = file.index.free_name(package)
        return self.runtime_aliases[package]
