"""Kinds of expressions that are no calls."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst

from ....syntax import torch_names as tn
from ....syntax.kinds import is_plain
from ....syntax.predicates import is_none, is_text, of_self, text_of
from ....syntax.values import Env, Instance, Kind, Record, Value, either, element, is_tensor, may_be_tensor
from ....syntax.walk import spelled
from .. import known
from .binding import several
from .narrowing import GUARD
from .shapes import many, one_of
from .statements import Statements

BUILTINS = frozenset(dir(builtins))
_PLAIN = (cst.Is, cst.IsNot, cst.In, cst.NotIn)


class Expressions(Statements):
    """Kinds of one file, down to its expressions."""

    def _expressions(self) -> dict[type[cst.CSTNode], Callable[[Any, Env], Value]]:
        return super()._expressions() | {
            cst.DictComp: self._each,
            cst.Set: self._list,
            cst.Lambda: lambda node, env: self._lambda(node, env, {}),
            cst.Await: lambda node, env: self._eval(node.expression, env),
            cst.Yield: self._yielded,
        }

    def _choice(self, node: cst.IfExp, env: Env) -> Value:
        self._eval(node.test, env)
        return either(
            self._eval(node.body, self._narrowed(node.test, env, True)),
            self._eval(node.orelse, self._narrowed(node.test, env, False)),
        )

    def _boolean(self, node: cst.BooleanOperation, env: Env) -> Value:
        left = self._eval(node.left, env)
        right = self._eval(node.right, self._narrowed(node.left, env, isinstance(node.operator, cst.And)))
        return either(left, right)

    def _tuple(self, node: cst.Tuple, env: Env) -> Value:
        if any(isinstance(e, cst.StarredElement) for e in node.elements):
            return several([self._element(e, env) for e in node.elements])
        return super()._tuple(node, env)

    def _list(self, node: cst.List | cst.Set, env: Env) -> Value:
        return several([self._element(e, env) for e in node.elements])

    def _dict(self, node: cst.Dict, env: Env) -> Value:
        made = Record()
        for entry in node.elements:
            value = self._eval(entry.value, env)
            if isinstance(entry, cst.DictElement):
                self._eval(entry.key, env)
                made = made.updated(text_of(entry.key), value)
            elif isinstance(value, Record):
                made = made.joined(value)
            else:
                made = made.updated(None, Kind.UNKNOWN)
        return made

    def _each(self, node: cst.ListComp | cst.GeneratorExp | cst.SetComp | cst.DictComp, env: Env) -> Value:
        inside = dict(env)
        self._comprehension(node.for_in, inside)
        if isinstance(node, cst.DictComp):
            self._eval(node.key, inside)
            return Record(others=self._eval(node.value, inside))
        return many(self._eval(node.elt, inside))

    def _yielded(self, node: cst.Yield, env: Env) -> Value:
        given = node.value.item if isinstance(node.value, cst.From) else node.value
        if given is None:
            return Kind.UNKNOWN
        value = self._eval(given, env)
        value = value if isinstance(node.value, cst.From) else many(value)
        function = self._function(node)
        old = self._returns.get(function)
        self._returns[function] = value if old is None else either(old, value)
        return Kind.UNKNOWN

    def _element(self, node: cst.BaseElement, env: Env) -> Value:
        value = self._eval(node.value, env)
        return element(value) if isinstance(node, cst.StarredElement) else value

    def _lambda(self, node: cst.Lambda, env: Env, given: Env) -> Value:
        """What calling a lambda gives; where its parameters come from is known to some callers only."""
        inside = dict(env)
        for param in (*node.params.posonly_params, *node.params.params, *node.params.kwonly_params):
            name = param.name.value
            inside.pop(f"{GUARD}{name}", None)
            inside[name] = given.get(name, Kind.HOST if is_plain(param.default) else Kind.UNKNOWN)
        self._eval(node.body, inside)
        return Kind.UNKNOWN

    def _binary(self, node: cst.BinaryOperation, env: Env) -> Value:
        sure = super()._binary(node, env)
        a, b = self._known[node.left], self._known[node.right]
        match node.operator:
            case cst.Modulo() if is_text(node.left):
                return Kind.HOST
            case cst.Add() if Kind.SEQUENCE in (a, b):
                return Kind.SEQUENCE
        if is_tensor(sure):
            return sure
        if isinstance(a, Kind) and isinstance(b, Kind):
            return either(a, b)
        # Tuples are shapes, mostly.
        return several([*_parts(a), *_parts(b)]) if tuple in (type(a), type(b)) else Kind.UNKNOWN

    def _comparison(self, node: cst.Comparison, env: Env) -> Value:
        plain = super()._comparison(node, env)
        if plain is Kind.MASK or all(isinstance(c.operator, _PLAIN) for c in node.comparisons):
            return plain
        parts = [node.left, *(c.comparator for c in node.comparisons)]
        if any(map(is_text, parts)) or any(map(is_none, parts)):
            return Kind.HOST
        values = {self._known.get(part, Kind.UNKNOWN) for part in parts}
        return Kind.MAYBE if Kind.MAYBE in values else Kind.UNKNOWN if Kind.UNKNOWN in values else Kind.HOST

    def _name(self, node: cst.Name, env: Env) -> Value:
        if node.value in env:
            return env[node.value]
        target = self.file.resolve(node)
        if target is not None:
            return self._named_thing(target)
        if node.value in BUILTINS:
            return Kind.HOST
        return super()._name(node, env)

    def _attribute_value(self, node: cst.Attribute, env: Env) -> Value:
        target, name = self.file.resolve(node), node.attr.value
        if target is not None:
            return self._named_thing(target)
        base = self._eval(node.value, env)
        if of_self(node) is not None:
            owner = self._class_of(node)
            return Kind.UNKNOWN if owner is None else self.attribute(owner, name)
        if isinstance(base, Instance):
            found = self._of_instance(base, name)
            return found if found is not Kind.UNKNOWN else _setting(node)
        return _of_tensor(base, name) if may_be_tensor(base) else _of_other(base, node)

    def _subscript(self, node: cst.Subscript, env: Env) -> Value:
        value = super()._subscript(node, env)
        base = self._known.get(node.value, Kind.UNKNOWN)
        if isinstance(base, (Instance, Record, tuple)):
            return _item(base, node.slice[0].slice, value)
        arrays = len(node.slice) > 1 or any(is_new_axis(e.slice) for e in node.slice)
        return Kind.MAYBE if base is Kind.UNKNOWN and arrays else value


def _item(base: Instance | Record | tuple[Value, ...], index: cst.BaseSlice, value: Value) -> Value:
    """What an index gives of several objects, of a dictionary or of a tuple, where that may give `value`."""
    whole = isinstance(index, cst.Slice)
    match base:
        case Instance():
            return base if whole else element(base)
        case Record():
            found = base.get(text_of(index.value) if isinstance(index, cst.Index) else None)
            return Kind.UNKNOWN if found is None else found
    if whole:
        return several(list(base))
    return one_of(base) if value is Kind.UNKNOWN else value


def _parts(value: Value) -> Sequence[Value]:
    return value if isinstance(value, tuple) else (value,)


def _of_tensor(base: Value, name: str) -> Value:
    """What an attribute of a tensor is, or of what may be one."""
    if name in tn.HOST_ATTRIBUTES:
        return Kind.HOST
    if name in ("data", "T", "mT", "real", "values", "indices"):
        return base
    return Kind.TENSOR if is_tensor(base) else Kind.UNKNOWN


def _of_other(base: Value, node: cst.Attribute) -> Value:
    """What an attribute is of a module, of a Python value, or of what nothing is known of."""
    name = node.attr.value
    if base is Kind.MODULE:
        return Kind.TENSOR if name.partition("_")[0] in ("weight", "bias", "running") else Kind.UNKNOWN
    if base is Kind.HOST or name in tn.TENSOR_ONLY_ATTRIBUTES:
        return Kind.HOST
    return Kind.TENSOR if name == "grad" else _setting(node)


def _setting(node: cst.Attribute) -> Value:
    """What an attribute is of which nothing else is known: `hps.data.hop_length` is a number of a configuration."""
    names = spelled(node).removeprefix("self.").split(".")[:-1]
    return Kind.UNKNOWN if known.SETTINGS.isdisjoint(names) else Kind.HOST


def is_new_axis(index: cst.BaseSlice) -> bool:
    """Whether an index is one of those that only arrays take: `None`, `...`."""
    return isinstance(index, cst.Index) and (isinstance(index.value, cst.Ellipsis) or is_none(index.value))
