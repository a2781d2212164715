"""What is surely a string, or a set of strings, in a function: names of files, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import libcst as cst

from ..syntax.calls import has_star, method_call, positional
from ..syntax.predicates import all_parameters, bound_names, called, targets
from ..syntax.walk import dotted, own_names, own_of_type
from .project import SourceFile

_T = TypeVar("_T")
_STRINGS = ("os.path.basename", "os.path.join", "os.path.dirname")
_LISTS = ("os.listdir", "glob.glob")
_KEEPS = ("strip", "lstrip", "rstrip", "lower", "upper", "replace", "removeprefix", "removesuffix", "format")
_READERS = ("list", "sorted", "tuple", "set", "len", "print", "enumerate", "min", "max", "any", "all")
_FILLS = ("add", "update", "symmetric_difference_update")
_OTHER_METHODS = (
    "discard", "remove", "clear", "copy", "difference_update", "intersection_update", "issubset", "issuperset",
    "isdisjoint",
)  # fmt: skip
_BINDING = (
    *(cst.AnnAssign, cst.NamedExpr, cst.Assign, cst.For, cst.AsName),
    *(cst.Global, cst.Nonlocal),
)


class Strings:
    """Answers for the names of one function; a name is what all that binds or fills it says."""

    def __init__(self, file: SourceFile, function: cst.FunctionDef) -> None:
        """Look at one function."""
        self._file, self._function = file, function
        self._asked: set[tuple[str, str]] = set()  # names that an answer under way depends on

    def is_string_set(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is a set whose elements are surely strings; an empty set is none."""
        match node:
            case cst.BinaryOperation():
                return self._is_joined_set(node)
            case cst.Name():
                return self._is_named_set(node.value)
            case cst.SetComp():
                return self._is_string(node.elt, self._names_of(node.for_in))
            case cst.Set():
                return all(isinstance(e, cst.Element) and self._is_string(e.value, set()) for e in node.elements)
            case cst.Call():
                return _makes_set(node) and any(self._is_strings(a.value) for a in node.args)
        return False

    def _is_joined_set(self, node: cst.BinaryOperation) -> bool:
        left, right = self.is_string_set(node.left), self.is_string_set(node.right)
        match node.operator:
            case cst.BitAnd():  # what is in both is equal to a string
                return (left and self.is_set(node.right)) or (right and self.is_set(node.left))
            case cst.BitOr() | cst.BitXor():
                return left and right
            case cst.Subtract():
                return left
        return False

    def is_set(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is a set of whatever."""
        if isinstance(node, cst.BinaryOperation):
            return self.is_set(node.left) and self.is_set(node.right)
        if isinstance(node, cst.Name):
            with self._asking("set", node.value) as known:
                values = self._assigned(node.value)
                return known or (bool(values) and all(self.is_set(value) for value in values or ()))
        return isinstance(node, (cst.SetComp, cst.Set)) or _makes_set(node)

    def _is_named_set(self, name: str) -> bool:
        with self._asking("string set", name) as known:
            values, fills = self._assigned(name), self._fills(name)
            if known or values is None or fills is None or not values:
                return known
            full = [value for value in values if not _is_empty(value)]
            return bool(full or fills) and all(map(self.is_string_set, full)) and all(map(self._fills_strings, fills))

    def _fills_strings(self, fill: cst.Call | cst.AugAssign) -> bool:
        """Whether `x.add(s)`, `x.update(many)` or `x |= many` leaves a set of strings one."""
        if isinstance(fill, cst.AugAssign):
            taken = isinstance(fill.operator, (cst.SubtractAssign, cst.BitAndAssign))
            return taken or self.is_string_set(fill.value)
        if has_star(fill) or len(positional(fill)) != len(fill.args):
            return False
        if method_call(fill, "add") is not None:
            return all(self._is_string(value, set()) for value in positional(fill))
        return all(self._is_strings(v) or self.is_string_set(v) for v in positional(fill))

    def _is_strings(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is an iterable of strings: names of files, or a list made of them."""
        match node:
            case cst.ListComp() | cst.GeneratorExp():
                return self._is_string(node.elt, self._names_of(node.for_in))
            case cst.Call(func=func) if self._file.resolve(func) in _LISTS:
                return True
            case cst.Call(func=cst.Name(value="list" | "sorted" | "tuple" | "set"), args=[first, *_]):
                return self._is_strings(first.value)
            case cst.Name():
                with self._asking("strings", node.value) as known:
                    values = self._assigned(node.value)
                    return known or (bool(values) and all(self._is_strings(value) for value in values or ()))
        return False

    def _is_string(self, node: cst.BaseExpression, known: set[str]) -> bool:
        match node:
            case cst.FormattedString():
                return True
            case cst.SimpleString():
                return "b" not in node.prefix.lower()
            case cst.Name():
                return node.value in known or self._is_named_string(node.value)
            case cst.Subscript():
                return self._is_string(node.value, known) or self._is_part(node, known)
            case cst.Call(func=func) if self._file.resolve(func) in _STRINGS:
                return True
        kept = method_call(node, *_KEEPS)
        return kept is not None and self._is_string(kept[0], known)

    def _is_part(self, node: cst.Subscript, known: set[str]) -> bool:
        """Whether an item is one of the parts that a string is split into."""
        match node:
            case cst.Subscript(value=cst.Call(func=func, args=[first, *_])) if (
                self._file.resolve(func) == "os.path.splitext"
            ):
                parts: cst.BaseExpression | None = first.value
            case _:
                split = method_call(node.value, "split", "rsplit", "partition", "rpartition")
                parts = split[0] if split is not None else None
        return parts is not None and self._is_string(parts, known) and isinstance(node.slice[0].slice, cst.Index)

    def _is_named_string(self, name: str) -> bool:
        """Whether all that binds a name are strings, loops over strings among it."""
        with self._asking("string", name) as known:
            values, loops = self._assigned(name), self._loops(name)
            if known or values is None or not (values or loops):
                return known
            return all(self._is_string(v, set()) for v in values) and all(self._is_strings(loop.iter) for loop in loops)

    def _names_of(self, clause: cst.CompFor) -> set[str]:
        """The names that the clauses of a comprehension give strings to."""
        found = set()
        current: cst.CompFor | None = clause
        while current is not None:
            if isinstance(current.target, cst.Name) and self._is_strings(current.iter):
                found.add(current.target.value)
            current = current.inner_for_in
        return found

    def _assigned(self, name: str) -> list[cst.BaseExpression] | None:
        """All that the function assigns to a local name; None where something else may bind it too."""
        if any(param.name.value == name for param in all_parameters(self._function)):
            return None
        return _all_of(_bound(node, name) for node in own_of_type(self._function.body, *_BINDING))

    def _loops(self, name: str) -> list[cst.For]:
        loops = own_of_type(self._function.body, cst.For)
        return [loop for loop in loops if dotted(loop.target) == name]

    def _fills(self, name: str) -> list[cst.Call | cst.AugAssign] | None:
        """What puts elements into a local set; None where something may do it that is not seen."""
        if self._loops(name):
            return None
        return _all_of(self._filled(node) for node in own_names(self._function.body).get(name, ()))

    def _filled(self, node: cst.Name) -> list[cst.Call | cst.AugAssign] | None:
        """What a use of a name does to the set that it holds."""
        around = self._file.parent(node)
        match around:
            case cst.AugAssign() if around.target is node:
                return [around]
            case cst.Attribute() if around.value is node:
                call, name = self._file.parent(around), around.attr.value
                if not isinstance(call, cst.Call) or name not in _FILLS + _OTHER_METHODS:
                    return None
                return [call] if name in _FILLS else []
            case cst.Arg():
                return [] if _only_read(self._file.parent(around)) else None
            case cst.Assign() | cst.Element():
                return [] if self._file.is_target(node) else None  # else another name for it
        return []

    @contextmanager
    def _asking(self, what: str, name: str) -> Iterator[bool]:
        """Whether the answer about a name is asked for already: then it depends on itself, and the rest decides."""
        key = (what, name)
        if key in self._asked:
            yield True
            return
        self._asked.add(key)
        try:
            yield False
        finally:
            self._asked.discard(key)


def _bound(node: cst.CSTNode, name: str) -> list[cst.BaseExpression] | None:
    """What a node assigns to a name; None where it binds that otherwise."""
    match node:
        case (
            cst.AnnAssign(target=target, value=cst.BaseExpression() as value)
            | cst.NamedExpr(target=target, value=value)
        ):
            return _given(target, value, name)
        case cst.Assign():
            return _all_of(_given(target, node.value, name) for target in targets(node))
        case cst.For():
            hidden = not isinstance(node.target, cst.Name) and name in bound_names(node.target)
        case cst.AsName():
            hidden = name in bound_names(node.name)
        case cst.Global() | cst.Nonlocal():
            hidden = any(item.name.value == name for item in node.names)
        case _:
            hidden = False
    return None if hidden else []


def _given(target: cst.BaseExpression, value: cst.BaseExpression, name: str) -> list[cst.BaseExpression] | None:
    """What an assignment gives to a name: nothing, a value or several; None where that is not to be seen."""
    if isinstance(target, cst.Name) or name not in bound_names(target):
        return [value] if dotted(target) == name else []
    match target, value:
        case ((cst.Tuple() | cst.List()), (cst.Tuple() | cst.List())) if len(target.elements) == len(value.elements):
            pairs = list(zip(target.elements, value.elements, strict=True))
            if any(isinstance(e, cst.StarredElement) for pair in pairs for e in pair):
                return None
            return _all_of(_given(one.value, other.value, name) for one, other in pairs)
    return None


def _all_of(parts: Iterable[list[_T] | None]) -> list[_T] | None:
    """All of some lists in one; None where one of them is not known."""
    found: list[_T] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return found


def _makes_set(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Call) and called(node) == "set" and len(node.args) < 2


def _is_empty(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Call) and _makes_set(node) and not node.args


def _only_read(call: cst.CSTNode | None) -> bool:
    """Whether what is given to a call is read there, or put into something else."""
    return called(call) in _READERS or (call is not None and method_call(call, *_FILLS) is not None)
