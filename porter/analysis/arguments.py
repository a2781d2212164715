"""Arguments of torch's own calls, found by the names of their parameters, by keyword or by place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache

import libcst as cst

from ..syntax.calls import has_star, keywords, positional
from ..syntax.torch_names import TYPE_FACTORIES
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import dotted
from ..torch_facts.operators import ABSENT, MASKS, PLAIN, SOMETHING, TENSOR, literal, normal
from ..torch_facts.reading import canonical
from ..torch_facts.signatures import Signature, parse, signatures
from .project import SourceFile

Arguments = Mapping[str, cst.BaseExpression]
_Reading = tuple[Signature, dict[str, cst.BaseExpression]]

_LEGACY = (parse("*sizes device=None", native=True),)  # of torch.FloatTensor and its kin


def bind(file: SourceFile, call: cst.Call, *names: str) -> Arguments | None:
    """The arguments of a call of torch's, or of a tensor's method, by parameter: all, or those of some names.

    None when that cannot be told: stars, a function of which no signature is known or none fits, or several that fit
    and give one of the names different values.
    """
    readings = [given for _, given in _readings(file, call)]
    if names:
        readings = [{n: r[n] for n in names if n in r} for r in readings]
    if not readings or any(not _same(r, readings[0]) for r in readings):
        return None
    return readings[0]


def argument_for(file: SourceFile, call: cst.Call, name: str) -> cst.BaseExpression | None:
    """What a call of torch's gives for one parameter; None where it gives nothing, or that cannot be told."""
    return (bind(file, call, name) or {}).get(name)


def lacks(file: SourceFile, call: cst.Call, *names: str) -> bool:
    """Whether a call of torch's is certain to give none of these parameters."""
    given = bind(file, call, *names)
    return given is not None and not given


def placed(signature: Signature, call: cst.Call) -> dict[str, cst.BaseExpression] | None:
    """The arguments of a call by the parameters of one signature; None if it does not fit. Of `*rest` only a single
    argument is told.
    """
    given, named = positional(call), keywords(call)
    places = None if has_star(call) else signature.place(len(given), named)
    if places is None:
        return None
    found: dict[str, cst.BaseExpression] = {}
    for name, place in places.items():
        if isinstance(place, int):
            found[name] = given[place]
        elif isinstance(place, str):
            found[name] = named[place]
        elif len(place) == 1:
            found[name] = given[place[0]]
    return found


def without(file: SourceFile, call: cst.Call, name: str) -> cst.Call | None:
    """`call` without what it gives for a parameter; None when that cannot be told, or others follow it by place."""
    given = bind(file, call, name)
    if given is None or name not in given:
        return call if given is not None else None
    at = next(i for i, arg in enumerate(call.args) if arg.value is given[name])
    if call.args[at].keyword is None and any(a.keyword is None for a in call.args[at + 1 :]):
        return None
    args = [*call.args[:at], *call.args[at + 1 :]]
    if args:
        args[-1] = args[-1].with_changes(comma=call.args[-1].comma)  # as the call ended before
    return call.with_changes(args=args)


def values(file: SourceFile, call: cst.Call) -> Callable[[str], str | None]:
    """What may be said of each parameter's value in a call, as `porter.torch_facts.operators` asks for it."""

    @cache
    def readings() -> list[_Reading]:
        return _readings(file, call)

    def value(name: str) -> str | None:
        told = {
            _told(file, given[name]) if name in given else _default(signature, name) for signature, given in readings()
        }
        return told.pop() if len(told) == 1 else None

    return value


def _known(file: SourceFile, call: cst.Call) -> tuple[Signature, ...]:
    """The signatures of what a call calls; the attribute of what is no import is taken for a tensor's method."""
    target = file.resolve(call.func)
    if target is None:
        name = call.func.attr.value if isinstance(call.func, cst.Attribute) else None
        return signatures(f"torch.Tensor.{name}") if name is not None else ()
    return _LEGACY if canonical(target) in TYPE_FACTORIES else signatures(target)


def _readings(file: SourceFile, call: cst.Call) -> list[_Reading]:
    """The ways to read a call; where values are known to be tensors or not, those that such values fit."""
    found: list[tuple[bool, _Reading]] = []
    for signature in _known(file, call):
        given = placed(signature, call)
        if given is not None:
            likely = all(_fits(file, given[p.name], p.tensor) for p in signature.parameters if p.name in given)
            found.append((likely, (signature, given)))
    return [r for likely, r in found if likely] or [r for _, r in found]


def _fits(file: SourceFile, value: cst.BaseExpression, tensor: bool) -> bool:
    """Whether a value may be given for a parameter that wants a tensor, or wants none."""
    kind = file.kind(value)
    if tensor:
        return kind is not Kind.HOST or dotted(value) == "None"
    return not is_tensor(kind)


def _same(one: Arguments, other: Arguments) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


def _told(file: SourceFile, value: cst.BaseExpression) -> str | None:
    if is_tensor(file.kind(value)):
        return TENSOR
    if isinstance(value, (cst.Tuple, cst.List)) and any(file.kind(e.value) is Kind.MASK for e in value.elements):
        return MASKS
    try:
        return literal(ast.literal_eval(file.module.code_for_node(value)))
    except (ValueError, SyntaxError):
        return PLAIN if file.kind(value) is Kind.HOST else SOMETHING


def _default(signature: Signature, name: str) -> str | None:
    """What a parameter is that is not given."""
    for parameter in signature.parameters:
        if parameter.name == name:
            return None if parameter.default == "..." else normal(parameter.default)
    return ABSENT
