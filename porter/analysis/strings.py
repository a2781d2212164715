"""What is surely a string, or a set of strings, in a function: names of files, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libcst as cst

from ..syntax.calls import has_star, method_call, positional
from ..syntax.walk import dotted, own_names, own_of_type
from .project import SourceFile

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
        if isinstance(node, cst.BinaryOperation):
            left, right = self.is_string_set(node.left), self.is_string_set(node.right)
            if isinstance(node.operator, cst.BitAnd):  # what is in both is equal to a string
                return (left and self.is_set(node.right)) or (right and self.is_set(node.left))
            if isinstance(node.operator, (cst.BitOr, cst.BitXor)):
                return left and right
            return isinstance(node.operator, cst.Subtract) and left
        if isinstance(node, cst.Name):
            return self._is_named_set(node.value)
        if isinstance(node, cst.SetComp):
            return self._is_string(node.elt, self._names_of(node.for_in))
        if isinstance(node, cst.Set):
            return all(isinstance(e, cst.Element) and self._is_string(e.value, set()) for e in node.elements)
        return isinstance(node, cst.Call) and _makes_set(node) and any(self._is_strings(a.value) for a in node.args)

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
        if isinstance(node, (cst.ListComp, cst.GeneratorExp)):
            return self._is_string(node.elt, self._names_of(node.for_in))
        if isinstance(node, cst.Call):
            if self._file.resolve(node.func) in _LISTS:
                return True
            if isinstance(node.func, cst.Name) and node.func.value in ("list", "sorted", "tuple", "set") and node.args:
                return self._is_strings(node.args[0].value)
        if isinstance(node, cst.Name):
            with self._asking("strings", node.value) as known:
                values = self._assigned(node.value)
                return known or (bool(values) and all(self._is_strings(value) for value in values or ()))
        return False

    def _is_string(self, node: cst.BaseExpression, known: set[str]) -> bool:
        if isinstance(node, (cst.SimpleString, cst.FormattedString)):
            return not (isinstance(node, cst.SimpleString) and "b" in node.prefix.lower())
        if isinstance(node, cst.Name):
            return node.value in known or self._is_named_string(node.value)
        if isinstance(node, cst.Subscript):
            if self._is_string(node.value, known):
                return True  # a character, or a slice
            split = method_call(node.value, "split", "rsplit", "partition", "rpartition")
            parts = split[0] if split is not None else None
            if isinstance(node.value, cst.Call) and self._file.resolve(node.value.func) == "os.path.splitext":
                parts = node.value.args[0].value
            return parts is not None and self._is_string(parts, known) and isinstance(node.slice[0].slice, cst.Index)
        if isinstance(node, cst.Call):
            if self._file.resolve(node.func) in _STRINGS:
                return True
            found = method_call(node, *_KEEPS)
            return found is not None and self._is_string(found[0], known)
        return False

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
        values: list[cst.BaseExpression] = []
        if any(param.name.value == name for param in _parameters(self._function)):
            return None
        for node in own_of_type(self._function.body, *_BINDING):
            if isinstance(node, (cst.AnnAssign, cst.NamedExpr)):
                if dotted(node.target) == name and node.value is not None:
                    values.append(node.value)
            elif isinstance(node, cst.Assign):
                for target in node.targets:
                    found = _given(target.target, node.value, name)
                    if found is None:
                        return None
                    values += found
            elif isinstance(node, cst.For):
                if not isinstance(node.target, cst.Name) and name in _names_in(node.target):
                    return None
            elif isinstance(node, cst.AsName):
                if name in _names_in(node.name):
                    return None
            elif isinstance(node, (cst.Global, cst.Nonlocal)) and any(item.name.value == name for item in node.names):
                return None
        return values

    def _loops(self, name: str) -> list[cst.For]:
        loops = own_of_type(self._function.body, cst.For)
        return [loop for loop in loops if dotted(loop.target) == name]

    def _fills(self, name: str) -> list[cst.Call | cst.AugAssign] | None:
        """What puts elements into a local set; None where something may do it that is not seen."""
        if self._loops(name):
            return None
        found: list[cst.Call | cst.AugAssign] = []
        for node in own_names(self._function.body).get(name, ()):
            around = self._file.parent(node)
            if isinstance(around, cst.AugAssign) and around.target is node:
                found.append(around)
            elif isinstance(around, cst.Attribute) and around.value is node:
                call = self._file.parent(around)
                if isinstance(call, cst.Call) and around.attr.value in _FILLS:
                    found.append(call)
                elif not isinstance(call, cst.Call) or around.attr.value not in _OTHER_METHODS:
                    return None
            elif isinstance(around, cst.Arg):
                if not _only_read(self._file.parent(around)):
                    return None
            elif isinstance(around, (cst.Assign, cst.Element)) and not self._is_target(around):  # another name for it
                return None
        return found

    def _is_target(self, node: cst.CSTNode) -> bool:
        """Whether an element is one of those that an assignment binds."""
        while isinstance(node, (cst.Element, cst.Tuple, cst.List)):
            above = self._file.parent(node)
            if above is None:
                return False
            node = above
        return isinstance(node, cst.AssignTarget)

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


def _given(target: cst.BaseExpression, value: cst.BaseExpression, name: str) -> list[cst.BaseExpression] | None:
    """What an assignment gives to a name: nothing, a value or several; None where that is not to be seen."""
    if isinstance(target, cst.Name):
        return [value] if target.value == name else []
    if not isinstance(target, (cst.Tuple, cst.List)) or name not in _names_in(target):
        return []
    plain = isinstance(value, (cst.Tuple, cst.List)) and len(value.elements) == len(target.elements)
    if not plain or any(isinstance(e, cst.StarredElement) for e in (*target.elements, *value.elements)):  # type: ignore[attr-defined]
        return None
    found: list[cst.BaseExpression] = []
    for one, other in zip(target.elements, value.elements, strict=True):  # type: ignore[attr-defined]
        part = _given(one.value, other.value, name)
        if part is None:
            return None
        found += part
    return found


def _parameters(function: cst.FunctionDef) -> Iterator[cst.Param]:
    params = function.params
    yield from (*params.posonly_params, *params.params, *params.kwonly_params)
    yield from (p for p in (params.star_arg, params.star_kwarg) if isinstance(p, cst.Param))


def _names_in(node: cst.BaseExpression) -> set[str]:
    """The names that a target binds."""
    if isinstance(node, cst.Name):
        return {node.value}
    if isinstance(node, (cst.Tuple, cst.List)):
        return {name for element in node.elements for name in _names_in(element.value)}
    return set()


def _makes_set(node: cst.BaseExpression) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "set"
        and len(node.args) < 2
    )


def _is_empty(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Call) and _makes_set(node) and not node.args


def _only_read(call: cst.CSTNode | None) -> bool:
    """Whether what is given to a call is read there, or put into something else."""
    if not isinstance(call, cst.Call):
        return False
    reader = isinstance(call.func, cst.Name) and call.func.value in _READERS
    return reader or method_call(call, *_FILLS) is not None
