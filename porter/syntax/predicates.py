"""Questions about a node by itself that many parts ask: what it calls, names, binds, compares or leaves."""

from __future__ import annotations

from collections.abc import Iterable

import libcst as cst

from .walk import dotted

Parameters = list[cst.Param]


def is_name(node: cst.CSTNode | None) -> bool:
    """Whether a node is a name, dotted or not."""
    return type(node) is cst.Name or type(node) is cst.Attribute


def own_name(node: cst.CSTNode) -> str | None:
    """What a name is called by itself: the last part of a dotted one."""
    if type(node) is cst.Name:
        return node.value
    return node.attr.value if type(node) is cst.Attribute else None


def is_text(node: cst.CSTNode | None) -> bool:
    """Whether a node is a string as it stands."""
    return isinstance(node, (cst.SimpleString, cst.ConcatenatedString, cst.FormattedString))


def is_none(node: cst.CSTNode | None) -> bool:
    """Whether a node is `None` as it stands."""
    return type(node) is cst.Name and node.value == "None"


def called(node: cst.CSTNode | None) -> str | None:
    """The dotted name of what a call calls; None for what is no call of a name."""
    return dotted(node.func) if type(node) is cst.Call else None


def last_part(name: str | None) -> str:
    """The last part of a dotted name; empty where there is none."""
    return (name or "").rpartition(".")[2]


def last_parts(names: Iterable[str]) -> frozenset[str]:
    """The last parts of dotted names."""
    return frozenset(map(last_part, names))


def of_self(node: cst.CSTNode | None) -> str | None:
    """The name in `self.name`."""
    if type(node) is cst.Attribute and type(node.value) is cst.Name and node.value.value == "self":
        return node.attr.value
    return None


def negated(node: cst.CSTNode | None) -> cst.BaseExpression | None:
    """What stands behind `not`."""
    return node.expression if type(node) is cst.UnaryOperation and type(node.operator) is cst.Not else None


def only_index(node: cst.CSTNode | None) -> cst.BaseExpression | None:
    """The index in `x[index]`: no slice, and one alone."""
    match node:
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=index))]):
            return index
    return None


def only_comparison(node: cst.CSTNode | None) -> tuple[cst.BaseExpression, cst.BaseCompOp, cst.BaseExpression] | None:
    """Both sides of a comparison of two values, and how they are compared."""
    match node:
        case cst.Comparison(left=left, comparisons=[cst.ComparisonTarget(operator=operator, comparator=right)]):
            return left, operator, right
    return None


def only_target(node: cst.CSTNode | None) -> cst.BaseExpression | None:
    """What an assignment binds, if that is one thing: the `x` of `x = 1`, and not of `x = y = 1`."""
    return node.targets[0].target if type(node) is cst.Assign and len(node.targets) == 1 else None


def targets(node: cst.CSTNode | None) -> list[cst.BaseExpression]:
    """What an assignment binds, annotated or not."""
    if isinstance(node, cst.Assign):
        return [target.target for target in node.targets]
    return [node.target] if isinstance(node, cst.AnnAssign) else []


def only_small(node: cst.CSTNode | None) -> cst.BaseSmallStatement | None:
    """The statement of a line that has no other."""
    return node.body[0] if type(node) is cst.SimpleStatementLine and len(node.body) == 1 else None


def is_plain(arg: cst.Arg) -> bool:
    """Whether an argument is given by its place, and is no star."""
    return arg.keyword is None and not arg.star


def text_of(node: cst.CSTNode | None) -> str | None:
    """The text that a plain string is."""
    return str(node.evaluated_value) if isinstance(node, cst.SimpleString) else None


def functions(owner: cst.ClassDef) -> list[cst.FunctionDef]:
    """The functions in a class's body."""
    return [item for item in owner.body.body if isinstance(item, cst.FunctionDef)]


def function_named(owner: cst.ClassDef, name: str) -> cst.FunctionDef | None:
    """The first function of a class's body that has this name."""
    return next((function for function in functions(owner) if function.name.value == name), None)


def bound_names(target: cst.CSTNode) -> set[str]:
    """The names that a target binds."""
    match target:
        case cst.Name(value=name):
            return {name}
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            return {name for element in elements for name in bound_names(element.value)}
        case cst.StarredElement(value=inner):
            return bound_names(inner)
    return set()


def leaves(block: cst.BaseSuite, *ways: type[cst.CSTNode]) -> bool:
    """Whether the last statement of a block is one of some ways to leave it, such as `return`."""
    last: cst.CSTNode | None = block.body[-1] if block.body else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, ways)


def positional_parameters(function: cst.FunctionDef | cst.Lambda) -> Parameters:
    """The parameters that arguments without a keyword fill, in order, but `*args`."""
    return [*function.params.posonly_params, *function.params.params]


def named_parameters(function: cst.FunctionDef | cst.Lambda) -> Parameters:
    """All parameters but `*args` and `**kwargs`."""
    return [*positional_parameters(function), *function.params.kwonly_params]


def all_parameters(function: cst.FunctionDef | cst.Lambda) -> Parameters:
    """All parameters."""
    params = function.params
    return [*named_parameters(function), *(p for p in (params.star_arg, params.star_kwarg) if isinstance(p, cst.Param))]
