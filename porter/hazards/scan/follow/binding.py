"""Which argument of a call a parameter receives, by kinds of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax.values import Env, Kind, Record, Value, either, element, is_tensor

CONSTRUCTORS = ("__init__", "__post_init__", "__new__")


@dataclass(frozen=True, slots=True)
class Method:
    """A method, its class and its file."""

    file: SourceFile
    owner: cst.ClassDef | None  # None for a function of its own
    function: cst.FunctionDef


@dataclass(frozen=True, slots=True)
class Owner:
    """A class and its file."""

    file: SourceFile
    owner: cst.ClassDef


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function."""

    file: SourceFile
    given: Env  # by parameter
    skipped: int  # parameters that Python fills in


def bind(function: cst.FunctionDef, args: Sequence[cst.Arg], values: Sequence[Value], skipped: int) -> Env:
    """The kinds that a call's arguments give to a function's parameters, by name; without those that it leaves out.

    `skipped` is the number of parameters that Python fills in, such as `self`.
    """
    params = function.params
    open_places = [p.name.value for p in (*params.posonly_params, *params.params)][skipped:]
    by_keyword = {p.name.value for p in (*params.params, *params.kwonly_params)}
    env: Env = {}
    rest: list[Value] = []
    others: dict[str, Value] = {}
    spread: Value | None = None  # of what a star gives to any parameter
    for arg, value in zip(args, values, strict=True):
        if arg.star == "**" and isinstance(value, Record):
            named = dict(value.items)
            env.update({name: named[name] for name in named if name in by_keyword})
            others.update({name: named[name] for name in named if name not in by_keyword})
        elif arg.star == "*" and isinstance(value, tuple):
            for part in value:
                if open_places:
                    env[open_places.pop(0)] = part
                else:
                    rest.append(part)
        elif arg.star:
            item = element(value) if arg.star == "*" else Kind.UNKNOWN
            spread = item if spread is None else either(spread, item)
        elif arg.keyword is not None:
            if arg.keyword.value in by_keyword:
                env[arg.keyword.value] = value
            else:
                others[arg.keyword.value] = value
        elif open_places:
            env[open_places.pop(0)] = value
        else:
            rest.append(value)
    if spread is not None:
        rest.append(spread)
        for name in (*open_places, *(p.name.value for p in params.kwonly_params)):
            env.setdefault(name, spread)
    if isinstance(params.star_arg, cst.Param) and rest:
        env[params.star_arg.name.value] = several(rest) if spread is not None else tuple(rest)
    if params.star_kwarg is not None and others:
        env[params.star_kwarg.name.value] = Record(tuple(others.items()))
    return env


def several(values: Sequence[Value]) -> Value:
    """The kind of a list that holds these."""
    if not values:
        return Kind.HOST
    if all(is_tensor(value) for value in values):
        return Kind.SEQUENCE
    first = values[0]
    return first if first in (Kind.HOST, Kind.MODULE) and all(v is first for v in values) else Kind.UNKNOWN
