"""Reading and changing the arguments of calls."""

from __future__ import annotations

from collections.abc import Mapping

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
    old = keywords(call)
    args = [
        arg.with_changes(value=values[arg.keyword.value]) if arg.keyword and arg.keyword.value in values else arg
        for arg in call.args
    ]
    left = {name: value for name, value in values.items() if name not in old}
    return call.with_changes(args=_extended(args, left) if left else args)


def _extended(args: list[cst.Arg], values: Mapping[str, cst.BaseExpression]) -> list[cst.Arg]:
    """Arguments with keyword arguments behind them, with the commas of a call that may stand on several lines."""
    ending = args[-1].comma if args else cst.MaybeSentinel.DEFAULT
    between = args[-2].comma if len(args) > 1 and isinstance(ending, cst.Comma) else None
    comma = between if isinstance(between, cst.Comma) else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    last = [args[-1].with_changes(comma=comma)] if args else []
    every = [*args[:-1], *last, *(keyword_argument(name, value, comma) for name, value in values.items())]
    return [*every[:-1], every[-1].with_changes(comma=ending)]


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
