"""Reading and changing the arguments of calls."""

from __future__ import annotations

import libcst as cst

from .predicates import named_parameters, positional_parameters


def argument(call: cst.Call, name: str, position: int | None = None) -> cst.BaseExpression | None:
    """The value of an argument given by keyword, or at a position; None when it is not given (or hidden in a star)."""
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return arg.value
    if position is not None and position < len(call.args):
        before = call.args[: position + 1]
        if all(a.keyword is None and not a.star for a in before):
            return before[position].value
    return None


def positional(call: cst.Call) -> list[cst.BaseExpression]:
    """Values of the positional arguments."""
    return [a.value for a in call.args if a.keyword is None and not a.star]


def keywords(call: cst.Call) -> dict[str, cst.BaseExpression]:
    """Keyword arguments by name."""
    return {a.keyword.value: a.value for a in call.args if a.keyword is not None}


def has_star(call: cst.Call) -> bool:
    """Whether a call passes `*args` or `**kwargs`."""
    return any(a.star for a in call.args)


def parameter_of(function: cst.FunctionDef, call: cst.Call, arg: cst.Arg, skipped: int = 0) -> cst.Param | None:
    """The parameter that takes an argument of a call; None where that cannot be told.

    Of the parameters Python fills the first `skipped` itself, as it does `self`.
    """
    if arg.keyword is not None:
        return next((p for p in named_parameters(function) if p.name.value == arg.keyword.value), None)
    at = list(call.args).index(arg)
    params = positional_parameters(function)[skipped:]
    plain = all(a.keyword is None and not a.star for a in call.args[: at + 1])
    return params[at] if plain and at < len(params) else None


def with_keywords(call: cst.Call, **values: cst.BaseExpression) -> cst.Call:
    """`call` with keyword arguments set, in place where it has them, else at the end."""
    args = list(call.args)
    left = dict(values)
    for i, arg in enumerate(args):
        if arg.keyword is not None and arg.keyword.value in left:
            args[i] = arg.with_changes(value=left.pop(arg.keyword.value))
    if not left:
        return call.with_changes(args=args)
    ending = args[-1].comma if args else cst.MaybeSentinel.DEFAULT  # of a call written over several lines
    between = args[-2].comma if len(args) > 1 and isinstance(ending, cst.Comma) else None
    between = between if isinstance(between, cst.Comma) else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    if args:
        args[-1] = args[-1].with_changes(comma=between)
    args += [keyword_argument(name, value, between) for name, value in left.items()]
    args[-1] = args[-1].with_changes(comma=ending)
    return call.with_changes(args=args)


def keyword_argument(name: str, value: cst.BaseExpression, comma: cst.Comma) -> cst.Arg:
    """`name=value`, as upstream and ruff space it."""
    bare = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
    return cst.Arg(value=value, keyword=cst.Name(name), equal=bare, comma=comma)


def without_argument(call: cst.Call, name: str) -> cst.Call:
    """`call` without a keyword argument."""
    args = [a for a in call.args if a.keyword is None or a.keyword.value != name]
    if args and len(args) != len(call.args):
        args[-1] = args[-1].with_changes(comma=call.args[-1].comma)  # as the call ended before
    return call.with_changes(args=args)


def method_call(node: cst.CSTNode, *names: str) -> tuple[cst.BaseExpression, cst.Call] | None:
    """Receiver and call, when `node` calls a method of one of these names."""
    if type(node) is cst.Call and type(node.func) is cst.Attribute and node.func.attr.value in names:
        return node.func.value, node
    return None
