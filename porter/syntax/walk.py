"""Fast walks over libcst trees: the nodes that mean something, none of the white space."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

import libcst as cst

_TRIVIA = frozenset(
    "lpar rpar lbracket rbracket lbrace rbrace leading_lines lines_after_decorators trailing_whitespace header "
    "footer comma semicolon equal colon dot star_etc_comma indent default_indent default_newline encoding "
    "has_trailing_newline lines_after_module_docstring first_colon second_colon".split()
)


@cache
def meaningful_fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    """Names of the fields of a node class that hold syntax other than white space and punctuation."""
    return tuple(f.name for f in fields(kind) if f.name not in _TRIVIA and not f.name.startswith("whitespace"))


# Everything else that a field can hold is a node, or several; `isinstance(value, CSTNode)` costs ten times as much.
PLAIN = frozenset({type(None), str, bool, int, cst.MaybeSentinel})


_Held = tuple[Callable[[cst.CSTNode], Any] | None, bool, bool]


class _Holders(dict[type[cst.CSTNode], _Held]):
    """By node class: what reads the fields that can hold nodes, whether that is one field alone, and whether each
    always holds one node. A dictionary answers in half the time of a cached function.
    """

    def __missing__(self, kind: type[cst.CSTNode]) -> _Held:
        held = [f for f in fields(kind) if f.name in meaningful_fields(kind) and f.type not in PLAIN]
        always = all(isinstance(f.type, type) for f in held)
        self[kind] = (attrgetter(*(f.name for f in held)) if held else None), len(held) == 1, always
        return self[kind]


_HOLDERS = _Holders()


def children(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The direct children of `node` that carry meaning."""
    read, alone, always = _HOLDERS[type(node)]
    if read is None:
        return []
    if always:
        return [read(node)] if alone else list(read(node))
    found: list[cst.CSTNode] = []
    for value in (read(node),) if alone else read(node):
        kind = type(value)
        if kind is tuple or kind is list:
            found += value
        elif kind not in PLAIN:
            found.append(value)
    return found


N = TypeVar("N", bound=cst.CSTNode)


def _subclasses(*bases: type) -> frozenset[type]:
    kinds = (kind for kind in vars(cst).values() if isinstance(kind, type))
    return frozenset(kind for kind in kinds if not set(bases).isdisjoint(kind.__mro__))


def _hash_as_objects(kind: type) -> None:
    """Let nodes hash by identity in C. libcst does so in a Python function, which dictionaries call by the million."""
    kind.__hash__ = object.__hash__  # type: ignore[method-assign,assignment]
    below: type[cst.CSTNode]
    for below in kind.__subclasses__():
        _hash_as_objects(below)


_hash_as_objects(cst.CSTNode)


class _NodeClass(ABCMeta):
    """Of node classes: `isinstance` asks them as it asks any class, and no registry of abstract ones."""

    __instancecheck__ = type.__instancecheck__
    __subclasscheck__ = type.__subclasscheck__


def _check_as_types(kind: type) -> None:
    kind.__class__ = _NodeClass
    below: type
    for below in type.__subclasses__(kind):
        _check_as_types(below)


_check_as_types(cst.CSTNode)
_STATEMENTS = _subclasses(cst.BaseStatement, cst.BaseSmallStatement)
EXPRESSIONS = _subclasses(cst.BaseExpression)
_INSIDE = EXPRESSIONS | {cst.Arg, cst.Param, cst.Parameters}  # of statements; none is inside one of these
_NESTED = frozenset({cst.FunctionDef, cst.Lambda, cst.ClassDef})


# Rules ask the same of a whole function at each of its lines: walking it each time would take the square of its length.
_ASKED_OFTEN = frozenset({cst.FunctionDef, cst.ClassDef, cst.IndentedBlock})
_KEPT = 4096  # functions


def descendants(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """`node` and everything below it, parents first."""
    return _nodes(node) if type(node) in _ASKED_OFTEN else _descendants(node)


@lru_cache(maxsize=_KEPT)
def _nodes(node: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    found: list[cst.CSTNode] = []
    stack = [node]
    while stack:
        current = stack.pop()
        if type(current) in _ASKED_OFTEN and current is not node:
            found += _nodes(current)  # walked once for whatever is around it
        else:
            found.append(current)
            stack.extend(reversed(children(current)))
    return tuple(found)


def _descendants(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def own_descendants(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """Like `descendants`, but without the insides of functions, lambdas and classes nested in `node`."""
    return _own_nodes(node) if type(node) in _ASKED_OFTEN else _own_descendants(node)


@lru_cache(maxsize=_KEPT)
def _own_nodes(node: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    found: list[cst.CSTNode] = []
    stack = [node]
    while stack:
        current = stack.pop()
        if type(current) is cst.IndentedBlock and current is not node:
            found += _own_nodes(current)  # walked once for whatever is around it
            continue
        found.append(current)
        if type(current) not in _NESTED or current is node:
            stack.extend(reversed(children(current)))
    return tuple(found)


@lru_cache(maxsize=_KEPT)
def own_names(node: cst.CSTNode) -> Mapping[str, Sequence[cst.Name]]:
    """The names among `own_descendants`, in order, by what they are called."""
    found: dict[str, list[cst.Name]] = {}
    for name in own_of_type(node, cst.Name):
        found.setdefault(name.value, []).append(name)
    return found


def holds_any(node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> bool:
    """Whether a node of one of these classes is among `descendants`."""
    return any(isinstance(n, kinds) for n in descendants(node))


def names_called(node: cst.CSTNode, name: str) -> list[cst.Name]:
    """The names of one spelling among `descendants`, in order."""
    return [n for n in descendants(node) if type(n) is cst.Name and n.value == name]


def _own_descendants(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if type(current) in _NESTED and current is not node:
            continue
        stack.extend(reversed(children(current)))


def own_of_type(node: cst.CSTNode, *kinds: type[N]) -> Iterable[N]:
    """Those of `own_descendants` whose class is one of `kinds` itself. What cannot hold one is not walked."""
    if type(node) in _ASKED_OFTEN:
        return _all_own_of_type(node, frozenset(kinds))  # type: ignore[return-value]  # what `kinds` says
    return _own_of_type(node, frozenset(kinds))  # type: ignore[return-value]


@lru_cache(maxsize=_KEPT)
def _all_own_of_type(node: cst.CSTNode, wanted: frozenset[type[cst.CSTNode]]) -> tuple[cst.CSTNode, ...]:
    return tuple([n for n in _own_nodes(node) if type(n) in wanted])


def _own_of_type(node: cst.CSTNode, wanted: frozenset[type[cst.CSTNode]]) -> Iterator[cst.CSTNode]:
    statements = wanted <= _STATEMENTS
    stack = [node]
    while stack:
        current = stack.pop()
        kind = type(current)
        if kind in wanted:
            yield current
        if kind in _NESTED and current is not node:
            continue
        found = children(current)
        found.reverse()
        stack += [n for n in found if type(n) not in _INSIDE] if statements else found


def key(node: cst.CSTNode) -> object:
    """A value that is equal for two trees that differ only in white space, comments and redundant parentheses."""
    parts: list[object] = [type(node).__name__]
    for name in meaningful_fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            parts.append(key(value))
        elif isinstance(value, (tuple, list)):
            parts.append(tuple(key(v) for v in value if isinstance(v, cst.CSTNode)))
        elif isinstance(value, (str, bool, int)) or value is None:
            parts.append(value)
    return tuple(parts)


def same(a: cst.CSTNode, b: cst.CSTNode) -> bool:
    """Whether two trees mean the same syntax."""
    return a is b or key(a) == key(b)


def dotted(node: cst.CSTNode | None) -> str | None:
    """`a.b.c` for a chain of names, else None."""
    if type(node) is cst.Name:  # the commonest question of all: isinstance asks an abstract class
        return node.value
    parts: list[str] = []
    while type(node) is cst.Attribute:
        parts.append(node.attr.value)
        node = node.value
    if type(node) is cst.Name:
        return ".".join([node.value, *reversed(parts)])
    return None


def spelled(node: cst.CSTNode | None) -> str:
    """`a.b.c` for a chain of names, else an empty text."""
    return dotted(node) or ""


_EMPTY = cst.Module([])


def code(node: cst.CSTNode) -> str:
    """The text of a node, as it stands."""
    return _EMPTY.code_for_node(node)


def brief(node: cst.CSTNode, width: int = 72) -> str:
    """The text of a node on one line, cut at `width` characters, for messages."""
    text = " ".join(code(node).split())
    return text if len(text) <= width else text[: width - 1] + "…"
