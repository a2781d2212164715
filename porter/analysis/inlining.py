"""What straight code makes of its names, written as one expression each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import libcst as cst

from ..syntax.template import parenthesized
from ..syntax.walk import descendants, dotted
from .project import SourceFile

Values = dict[str, cst.BaseExpression]
_DEPTH = 3  # functions inside functions
_SIZE = 5000  # nodes of a value, at most


class NotStraightError(Exception):
    """There is something else than assignments to names and choices between them."""


def final_values(
    file: SourceFile, statements: Sequence[cst.CSTNode], before: Mapping[str, cst.BaseExpression], depth: int = 0
) -> Values:
    """The names that `statements` assign, as expressions over what was there before.

    An `if` becomes a conditional expression, and calls of the package's own straight functions their results. Library
    functions are spelled in full. NotStraightError for code of another kind, and where that grows large. `depth` tells
    how many functions this is inside of.
    """
    names: Values = dict(before)
    for statement in statements:
        if isinstance(statement, cst.SimpleStatementLine):
            for small in statement.body:
                _assign(file, small, names, depth)
        elif isinstance(statement, cst.If):
            _choose(file, statement, names, depth)
        else:
            raise NotStraightError
    return names


def _inlined(
    file: SourceFile, node: cst.BaseExpression, names: Mapping[str, cst.BaseExpression], depth: int
) -> cst.BaseExpression:
    """An expression with the values of names in their place."""
    found = node.visit(_Inliner(file, names, depth))
    assert isinstance(found, cst.BaseExpression)
    if sum(1 for _ in islice(descendants(found), _SIZE + 1)) > _SIZE:
        raise NotStraightError
    return found


def returned(
    file: SourceFile, function: cst.FunctionDef, given: Sequence[cst.BaseExpression], depth: int
) -> cst.BaseExpression:
    """What a function returns for positional arguments. NotStraightError where that is no one expression."""
    parameters = function.params
    more = parameters.kwonly_params or parameters.star_kwarg or parameters.posonly_params
    if more or not isinstance(parameters.star_arg, cst.MaybeSentinel) or len(parameters.params) != len(given):
        raise NotStraightError
    names: Values = {p.name.value: value for p, value in zip(parameters.params, given, strict=True)}
    *others, last = function.body.body
    if others and isinstance(others[0], cst.SimpleStatementLine) and _is_text(others[0]):
        others = others[1:]
    names = final_values(file, others, names, depth)
    if not isinstance(last, cst.SimpleStatementLine) or len(last.body) != 1:
        raise NotStraightError
    (end,) = last.body
    if not isinstance(end, cst.Return) or end.value is None:
        raise NotStraightError
    return _inlined(file, end.value, names, depth)


def _assign(file: SourceFile, node: cst.BaseSmallStatement, names: Values, depth: int) -> None:
    if not isinstance(node, cst.Assign) or len(node.targets) != 1:
        raise NotStraightError
    target = node.targets[0].target
    if not isinstance(target, cst.Name):
        raise NotStraightError
    names[target.value] = _inlined(file, node.value, names, depth)


def _choose(file: SourceFile, node: cst.If, names: Values, depth: int) -> None:
    test = _inlined(file, node.test, names, depth)
    if not isinstance(node.body, cst.IndentedBlock):
        raise NotStraightError
    first = final_values(file, node.body.body, names, depth)
    if isinstance(node.orelse, cst.If):
        second = dict(names)
        _choose(file, node.orelse, second, depth)
    elif node.orelse is not None:
        second = final_values(file, node.orelse.body.body, names, depth)
    else:
        second = dict(names)
    for name in dict.fromkeys((*first, *second)):
        then, otherwise = (side.get(name, cst.Name(name)) for side in (first, second))
        if then is not otherwise:
            names[name] = parenthesized(cst.IfExp(test, then, otherwise))


def _is_text(statement: cst.SimpleStatementLine) -> bool:
    return all(isinstance(s, cst.Expr) and isinstance(s.value, cst.BaseString) for s in statement.body)


class _Inliner(cst.CSTTransformer):
    """Puts values in the place of names, and what they return in the place of calls."""

    def __init__(self, file: SourceFile, names: Mapping[str, cst.BaseExpression], depth: int) -> None:
        super().__init__()
        self._file, self._names, self._depth = file, names, depth

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        return self._full(node) is None

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        full = self._full(original_node)
        if full is not None:
            return cst.parse_expression(full)
        return updated_node.with_changes(attr=original_node.attr)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return updated_node.with_changes(keyword=original_node.keyword)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        if original_node.value in self._names:
            return parenthesized(self._names[original_node.value])
        full = self._full(original_node)
        return updated_node if full is None else cst.parse_expression(full)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        found = self._file.project.function(self._file.resolve(original_node.func))
        plain = all(not argument.star and argument.keyword is None for argument in updated_node.args)
        if found is None or not plain or self._depth >= _DEPTH:
            return updated_node
        try:
            value = returned(*found, [argument.value for argument in updated_node.args], self._depth + 1)
        except NotStraightError:
            return updated_node
        return parenthesized(value)

    def leave_Subscript(self, original_node: cst.Subscript, updated_node: cst.Subscript) -> cst.BaseExpression:
        """An item of a list that is written out."""
        value = updated_node.value
        if not isinstance(value, (cst.List, cst.Tuple)) or len(updated_node.slice) != 1:
            return updated_node
        index = updated_node.slice[0].slice
        number = _number(index.value) if isinstance(index, cst.Index) else None
        if number is None or number >= len(value.elements):
            return updated_node
        return parenthesized(value.elements[number].value)

    def _full(self, node: cst.Name | cst.Attribute) -> str | None:
        """The full name of what a library has."""
        if (dotted(node) or "").partition(".")[0] in self._names:
            return None
        full = self._file.resolve(node)
        return full if full is not None and self._file.project.definition(full) is None else None


def _number(node: cst.BaseExpression) -> int | None:
    """A literal number that is no less than 0."""
    return int(node.value) if isinstance(node, cst.Integer) and node.value.isdigit() else None
