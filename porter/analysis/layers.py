"""Which classes of layers the attributes of a network hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import libcst as cst

from ..syntax.predicates import last_part
from ..syntax.walk import dotted, own_of_type, spelled
from .project import SourceFile

_LISTS = frozenset({"torch.nn.ModuleList", "torch.nn.Sequential"})


class _Stored(NamedTuple):
    """What a method puts into an attribute."""

    value: cst.BaseExpression
    method: cst.FunctionDef
    may_be_list: bool  # of layers, each of which counts


def layer_classes(file: SourceFile, owner: cst.ClassDef, attribute: str) -> frozenset[str] | None:
    """Full names of the classes of `self.attribute`, or of its elements where it is a list; None where unsure.

    A function around a layer, such as a weight norm, is taken for one that returns the layer.
    """
    found: set[str] = set()
    for stored in _stored(owner).get(f"self.{attribute}", ()):
        for value in _elements(file, stored.value) if stored.may_be_list else (stored.value,):
            classes = _classes(file, value, stored.method)
            if not classes:
                return None
            found |= classes
    return frozenset(found) if found else None


def is_list(file: SourceFile, owner: cst.ClassDef, attribute: str) -> bool:
    """Whether `self.attribute` is a list of layers."""
    value = file.attribute_value(owner, attribute)
    return isinstance(value, cst.Call) and file.resolve(value.func) in _LISTS


def _methods(owner: cst.ClassDef) -> list[cst.FunctionDef]:
    return [m for m in owner.body.body if isinstance(m, cst.FunctionDef)]


@lru_cache(maxsize=1024)
def _stored(owner: cst.ClassDef) -> Mapping[str, list[_Stored]]:
    """What the methods of a class put into `self.name`, by that."""
    found: dict[str, list[_Stored]] = defaultdict(list)
    for method in _methods(owner):
        for assign in own_of_type(method.body, cst.Assign):
            for name in {dotted(target.target) for target in assign.targets} - {None}:
                found[str(name)].append(_Stored(assign.value, method, True))
        for call in own_of_type(method.body, cst.Call):
            name, _, called = spelled(call.func).rpartition(".")
            if called == "append" and len(call.args) == 1:
                found[name].append(_Stored(call.args[0].value, method, False))
            elif called in ("extend", "insert"):
                found[name].append(_Stored(call, method, False))  # no layer: unsure
    return found


def _elements(file: SourceFile, value: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if not isinstance(value, cst.Call) or file.resolve(value.func) not in _LISTS:
        yield value
        return
    for argument in value.args:
        if isinstance(argument.value, (cst.List, cst.Tuple)):
            yield from (element.value for element in argument.value.elements)
        elif isinstance(argument.value, (cst.ListComp, cst.GeneratorExp)):
            yield argument.value.elt
        else:
            yield argument.value


def _classes(
    file: SourceFile,
    value: cst.BaseExpression | None,
    function: cst.FunctionDef,
    depth: int = 0,
    within: frozenset[str] = frozenset(),
) -> frozenset[str] | None:
    """The classes of what an expression gives; `within` are local names whose values are being looked at."""
    if isinstance(value, cst.Name):
        return _local_classes(file, value.value, function, depth, within)
    if not isinstance(value, cst.Call) or depth > 3:
        return None
    found: set[str] = set()
    for called in _meant(value.func, function):
        name = file.resolve(called)
        if name is None:
            return None
        first = next((arg.value for arg in value.args), None)
        layer = _is_layer(file, name)
        inner = frozenset({name}) if layer else _classes(file, first, function, depth + 1, within)
        if inner is None:
            return None
        found |= inner
    return frozenset(found)


def _is_layer(file: SourceFile, name: str) -> bool:
    """Whether a full name is that of a class of the project, or of one of torch's layers."""
    torchs = name.startswith("torch.nn.") and last_part(name)[:1].isupper()
    return torchs or file.project.class_definition(name) is not None


def _local_classes(
    file: SourceFile, name: str, function: cst.FunctionDef, depth: int, within: frozenset[str]
) -> frozenset[str] | None:
    """The classes of what a function assigns to a local name, which a layer may pass several times."""
    if name in within:
        return frozenset()
    found: set[str] = set()
    for assign in own_of_type(function.body, cst.Assign):
        if any(dotted(t.target) == name for t in assign.targets):
            inner = _classes(file, assign.value, function, depth, within | {name})
            if inner is None:
                return None
            found |= inner
    return frozenset(found) or None


def _meant(called: cst.BaseExpression, function: cst.FunctionDef) -> list[cst.BaseExpression]:
    """The expressions that a local name of a class may stand for: `block = A if wide else B`."""
    if not isinstance(called, cst.Name):
        return [called]
    found = [
        part
        for assign in own_of_type(function.body, cst.Assign)
        if any(dotted(t.target) == called.value for t in assign.targets)
        for part in _alternatives(assign.value)
    ]
    return found or [called]


def _alternatives(value: cst.BaseExpression) -> list[cst.BaseExpression]:
    if isinstance(value, cst.IfExp):
        return [*_alternatives(value.body), *_alternatives(value.orelse)]
    return [value]
