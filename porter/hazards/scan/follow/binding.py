"""Which argument of a call a parameter receives, by kinds of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    bound = _Bound(
        [p.name.value for p in (*params.posonly_params, *params.params)][skipped:],
        frozenset(p.name.value for p in (*params.params, *params.kwonly_params)),
    )
    for arg, value in zip(args, values, strict=True):
        bound.take(arg, value)
    return bound.finished(params)


@dataclass(slots=True)
class _Bound:
    """What a call's arguments have given so far."""

    open_places: list[str]  # parameters that a positional argument still fills
    by_keyword: frozenset[str]
    env: Env = field(default_factory=dict)
    rest: list[Value] = field(default_factory=list)  # for `*args`
    others: dict[str, Value] = field(default_factory=dict)  # for `**kwargs`
    spread: Value | None = None  # of what a star gives to any parameter

    def take(self, arg: cst.Arg, value: Value) -> None:
        """Give one argument to the parameter that it is for."""
        match arg.star, value:
            case "**", Record():
                for name, item in value.items:
                    self._named(name, item)
            case "*", tuple():
                for part in value:
                    self._next(part)
            case ("*" | "**") as star, _:
                item = element(value) if star == "*" else Kind.UNKNOWN
                self.spread = item if self.spread is None else either(self.spread, item)
            case _ if arg.keyword is not None:
                self._named(arg.keyword.value, value)
            case _:
                self._next(value)

    def _next(self, value: Value) -> None:
        if self.open_places:
            self.env[self.open_places.pop(0)] = value
        else:
            self.rest.append(value)

    def _named(self, name: str, value: Value) -> None:
        (self.env if name in self.by_keyword else self.others)[name] = value

    def finished(self, params: cst.Parameters) -> Env:
        """All of it, with what `*args` and `**kwargs` get."""
        if self.spread is not None:
            self.rest.append(self.spread)
            for name in (*self.open_places, *(p.name.value for p in params.kwonly_params)):
                self.env.setdefault(name, self.spread)
        if isinstance(params.star_arg, cst.Param) and self.rest:
            self.env[params.star_arg.name.value] = several(self.rest) if self.spread is not None else tuple(self.rest)
        if params.star_kwarg is not None and self.others:
            self.env[params.star_kwarg.name.value] = Record(tuple(self.others.items()))
        return self.env


def several(values: Sequence[Value]) -> Value:
    """The kind of a list that holds these."""
    if not values:
        return Kind.HOST
    if all(is_tensor(value) for value in values):
        return Kind.SEQUENCE
    first = values[0]
    return first if first in (Kind.HOST, Kind.MODULE) and all(v is first for v in values) else Kind.UNKNOWN
