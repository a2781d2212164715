"""What one file imports and defines, from its syntax tree; nothing is executed."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ...errors import PortError
from ...syntax.stack import with_room
from .depth import deepest
from .frameworks import OTHERS, framework_of
from .standard import STANDARD

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_OTHERS = frozenset(OTHERS)
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


T = TypeVar("T")
_SIMPLE = frozenset({ast.Expr, ast.Return, ast.Raise, ast.Assert, ast.Pass, ast.Break, ast.Continue, ast.Delete})
_ASSIGNING = frozenset({ast.Assign, ast.AnnAssign, ast.AugAssign})
_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: `import module`, or `from module import names` (`level` dots in front)."""

    module: str
    level: int
    names: tuple[str, ...]  # () for a plain import, ("*",) for a star
    line: int
    optional: bool  # the file goes on without it
    later: bool = False  # inside a function, so only when that is called

    @property
    def package(self) -> str:
        """The first part of the module's name."""
        return self.module.partition(".")[0]

    @property
    def only_names(self) -> frozenset[str] | None:
        """The names that it takes from the module; None where it takes the module itself, or all names."""
        return frozenset(self.names) if self.names and "*" not in self.names else None

    @property
    def is_standard(self) -> bool:
        """Whether it imports a module of Python's own."""
        return not self.level and self.package in STANDARD


@dataclass(slots=True)
class Facts:
    """Imports of a file, the names it binds and defines at its top, and whether it defines networks."""

    imports: list[Import] = field(default_factory=list)
    bound: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)  # functions and classes at its top
    networks: set[str] = field(default_factory=set)  # classes at its top that are networks
    defines_network: bool = False
    uses_torch: bool = False
    framework: str = ""  # another than PyTorch, whose classes most classes of the file derive from

    def binds(self, name: str) -> bool:
        """Whether the file has, or may have, a name at its top."""
        return name in self.bound or "__getattr__" in self.bound or any("*" in i.names for i in self.imports)


def read_facts(path: str, text: str) -> Facts:
    """Facts of one file. PortError if it is not valid Python."""
    return _read(path, text, _facts)


def read_syntax(path: str, text: str) -> ast.Module:
    """The syntax tree of one file. PortError if it is not valid Python."""
    return _read(path, text, syntax)


@lru_cache(maxsize=1024)
def _facts(text: str) -> Facts:
    """Facts by a file's text; who asks for imports, for the scope and for what is missing asks for the same files."""
    return facts_of(syntax(text))


def _read(path: str, text: str, work: Callable[[str], T]) -> T:
    """What `work` makes of a text that it parses. PortError if that is not valid Python."""
    try:
        return work(text)
    except SyntaxError as error:
        newer = f"; if it is written for a newer Python than {_PYTHON}, run sovits-port with that" * _parses(text)
        raise PortError(f"{path} is not valid Python: {error.msg} (line {error.lineno or 1}){newer}") from None
    except (RecursionError, MemoryError):
        raise PortError(
            f"{path} nests too deeply for Python {_PYTHON} itself to compile (line {deepest(text)[1]})"
        ) from None
    except ValueError as error:
        raise PortError(f"{path} is not valid Python: {error}") from None


def facts_of(tree: ast.Module) -> Facts:
    """Facts of one file, by its syntax tree."""
    facts = Facts()
    _read_blocks(tree.body, facts)
    facts.uses_torch = any(i.package == "torch" and not i.level for i in facts.imports)
    if not _OTHERS.isdisjoint(i.package for i in facts.imports):
        facts.framework = framework_of(tree)
    return facts


def _parses(text: str) -> bool:
    """Whether libcst, which knows the syntax of newer Pythons than the one that runs, can read a text."""
    import libcst

    try:
        libcst.parse_module(text)
    except (libcst.ParserSyntaxError, RecursionError):
        return False
    return True


@lru_cache(maxsize=32)  # whoever asks for facts often asks for the tree soon after
def syntax(text: str) -> ast.Module:
    """The syntax tree, or whatever Python itself raises for such a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in upstream's strings is no business of ours
        try:
            return ast.parse(text)
        except RecursionError:  # Python counts the calls that led here as well; in a thread of its own there are none
            return with_room(lambda: ast.parse(text), calls=sys.getrecursionlimit())


class _Place(NamedTuple):
    """Where a statement stands."""

    top: bool = True  # in no function and no class
    later: bool = False  # in a function
    optional: bool = False  # where the file goes on when an import fails


def _read_blocks(body: list[ast.stmt], facts: Facts) -> None:
    # Imports and classes are statements, so expressions are never looked at.
    pending = [(statement, _Place()) for statement in reversed(body)]
    while pending:
        statement, place = pending.pop()
        if type(statement) in _SIMPLE or (not place.top and type(statement) in _ASSIGNING):
            continue  # nothing is imported or defined, nor is a name of the file bound
        _read_statement(statement, place, facts)
        pending += reversed([*_within(statement, place)])


def _within(statement: ast.stmt, place: _Place) -> Iterator[tuple[ast.stmt, _Place]]:
    """The statements right in the blocks of one, each with where it stands."""
    top = place.top and not isinstance(statement, _DEFINING)
    later = place.later or isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
    for block, unneeded in _blocks(statement):
        inside = _Place(top, later, place.optional or unneeded)
        yield from ((inner, inside) for inner in block)


def _read_statement(statement: ast.stmt, place: _Place, facts: Facts) -> None:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        facts.imports += _imports(statement, place)
    elif isinstance(statement, ast.ClassDef):
        _read_class(statement, facts, top=place.top)
    if place.top:
        names = _bound(statement)
        facts.bound.update(names)
        facts.defined.update(names if isinstance(statement, _DEFINING) else ())


def _imports(statement: ast.Import | ast.ImportFrom, place: _Place) -> list[Import]:
    names, line = tuple(alias.name for alias in statement.names), statement.lineno
    if isinstance(statement, ast.ImportFrom):
        return [Import(statement.module or "", statement.level, names, line, place.optional, place.later)]
    return [Import(name, 0, (), line, place.optional, place.later) for name in names]


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement itself binds."""
    match statement:
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return _targets(targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return _targets([target])
    return []


def _read_class(statement: ast.ClassDef, facts: Facts, *, top: bool) -> None:
    network = any(is_network(base) for base in statement.bases)
    facts.defines_network |= network
    derived = any(isinstance(base, ast.Name) and base.id in facts.networks for base in statement.bases)
    if top and (network or derived):
        facts.networks.add(statement.name)


def _targets(targets: Sequence[ast.expr]) -> list[str]:
    """The names in what an assignment writes to."""
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _blocks(statement: ast.stmt) -> Iterator[tuple[list[ast.stmt], bool]]:
    """The blocks inside a statement, and whether the file goes on when an import in them fails."""
    if isinstance(statement, (ast.Try, ast.TryStar)):
        caught = any(_catches_import_error(handler) for handler in statement.handlers)
        yield statement.body, caught
        for handler in statement.handlers:
            yield handler.body, caught
        yield statement.orelse, False
        yield statement.finalbody, False
    elif isinstance(statement, ast.If):
        yield statement.body, _names(statement.test)[-1:] == ["TYPE_CHECKING"]
        yield statement.orelse, False
    elif isinstance(statement, ast.Match):
        for case in statement.cases:
            yield case.body, False
    else:
        for name in ("body", "orelse"):
            block = getattr(statement, name, None)
            if isinstance(block, list):
                yield block, False


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(n, ast.Name) and n.id in _IMPORT_ERRORS for n in ast.walk(handler.type))


def is_network(base: ast.expr) -> bool:
    """Whether a base class is torch.nn's Module or a layer, however torch.nn was imported."""
    names = base_names(base)
    return names[:1] == ["nn"] or names[:2] == ["torch", "nn"] or any(n.endswith("Module") for n in names[-1:])


def base_names(base: ast.expr) -> list[str]:
    """`a`, `b` and `c` of a base class `a.b.c`, what is called or indexed there left out."""
    while isinstance(base, (ast.Call, ast.Subscript)):
        base = base.func if isinstance(base, ast.Call) else base.value
    return _names(base)


def _names(node: ast.expr) -> list[str]:
    """`a`, `b` and `c` of `a.b.c`; nothing for what is no chain of names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []
