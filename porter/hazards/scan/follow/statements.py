"""Going through statements: branches, assignments, and what classes and containers keep."""

from __future__ import annotations

import libcst as cst

from ....syntax.predicates import called, targets, text_of
from ....syntax.values import Env, Instance, Kind, Record, Value, either, element, is_tensor
from .binding import several
from .narrowing import GUARD, leaves, questions, widen
from .parameters import Parameters


class Statements(Parameters):
    """Kinds of one file, statement by statement."""

    def _statement(self, node: cst.CSTNode, env: Env, function: cst.CSTNode) -> None:
        if type(node) is cst.ClassDef:
            self._fields(node, env, function)
        else:
            super()._statement(node, env, function)

    def _fields(self, owner: cst.ClassDef, env: Env, function: cst.CSTNode) -> None:
        """Attributes that a class's own body gives values or annotations to."""
        inside = dict(env)
        for line in owner.body.body:
            for small in line.body if isinstance(line, cst.SimpleStatementLine) else ():
                self._small(small, inside, function)
                for target in targets(small):
                    if isinstance(target, cst.Name):
                        value = self._field(small, inside.get(target.value, Kind.UNKNOWN))
                        self._flow.set_attribute(owner, target.value, small, value)

    def _field(self, small: cst.BaseSmallStatement, value: Value) -> Value:
        """What an attribute is that a class's body assigns a value, annotates, or both."""
        if not isinstance(small, cst.AnnAssign):
            return value
        noted = self._annotated(small.annotation)
        return value if noted is Kind.UNKNOWN and small.value is not None else noted

    def _if(self, node: cst.If, env: Env, function: cst.CSTNode) -> None:
        self._eval(node.test, env)
        then, other = self._narrowed(node.test, env, True), self._narrowed(node.test, env, False)
        self._block(node.body, then, function)
        if isinstance(node.orelse, cst.If):
            self._statement(node.orelse, other, function)
        elif node.orelse is not None:
            self._block(node.orelse.body, other, function)
        if leaves(node.body) and not leaves(node.orelse):
            merged = other
        elif leaves(node.orelse) and not leaves(node.body):
            merged = then
        else:
            widen(then, env)
            widen(other, env)
            merged = dict(then)
            for name, value in other.items():
                merged[name] = either(then[name], value) if name in then else value
        env.clear()
        env.update(merged)

    def _narrowed(self, test: cst.BaseExpression, env: Env, truth: bool) -> Env:
        """What is known of values where a condition holds (or does not): `isinstance(x, Tensor)`, `x is None`."""
        inside = dict(env)
        for name, is_one in questions(self.file, test, truth):
            if name in inside:
                inside.setdefault(f"{GUARD}{name}", inside[name])
                # Nobody is seen to give a tensor to what has to ask whether it has one.
                if not (is_one and is_tensor(inside[name])):
                    inside[name] = Kind.HOST
        return inside

    def _entered(self, target: cst.CSTNode, value: Value, env: Env) -> None:
        self._assign(target, value if value in (Kind.HOST, Kind.MODULE) else Kind.UNKNOWN, env)

    def _small(self, node: cst.CSTNode, env: Env, function: cst.CSTNode) -> None:
        super()._small(node, env, function)
        if type(node) is cst.AugAssign and isinstance(node.target, cst.Attribute):
            self._assign(node.target, self._known.get(node.value, Kind.UNKNOWN), env)

    def _assign(self, target: cst.CSTNode, value: Value, env: Env) -> None:
        if type(target) is cst.Name:
            env.pop(f"{GUARD}{target.value}", None)
        super()._assign(target, value, env)
        if type(target) is cst.Attribute:
            for owner in self._classes(target.value, env):
                self._flow.set_attribute(owner.owner, target.attr.value, target, value)
        elif type(target) is cst.Subscript:
            index = target.slice[0].slice
            self._keep(target.value, value, env, text_of(index.value) if type(index) is cst.Index else None)
        elif isinstance(target, (cst.Tuple, cst.List)):
            for part in target.elements:
                if type(part) is cst.StarredElement:
                    self._assign(part.value, several([element(value)]), env)

    def _keep(self, container: cst.BaseExpression, value: Value, env: Env, key: str | None = None) -> None:
        """A list or dictionary takes up a value, at a key that is known or anywhere."""
        old = self._known.get(container, Kind.UNKNOWN)
        if isinstance(old, tuple) or is_tensor(old) or old is Kind.MODULE:
            return
        new: Value
        if isinstance(old, Record):
            new = old.updated(key, value)
        elif isinstance(value, Instance):
            new = Instance(value.classes, several=True)
            new = either(old, new) if isinstance(old, Instance) else new
        else:
            new = several([value]) if old is Kind.HOST else either(old, several([value]))
        self._hold(container, new, env)

    def _hold(self, container: cst.BaseExpression, new: Value, env: Env) -> None:
        """A list or dictionary is another one now."""
        if isinstance(container, cst.Name) and container.value in env:
            env[container.value] = new
        elif isinstance(container, cst.Attribute):
            for owner in self._classes(container.value, env):
                self._flow.set_attribute(owner.owner, container.attr.value, container, new)

    def _loop_value(self, iterable: cst.BaseExpression, item: Value, env: Env) -> Value:
        if isinstance(iterable, cst.Call) and isinstance(iterable.func, cst.Attribute) and not iterable.args:
            of = self._known.get(iterable.func.value, Kind.UNKNOWN)
            of = self._known.get(iterable, of) if iterable.func.attr.value != "items" else of
            if iterable.func.attr.value in ("items", "named_parameters", "named_buffers"):
                held = of.get(None) if isinstance(of, Record) else element(of)
                return (Kind.HOST, Kind.UNKNOWN if held is None else held)
        value = super()._loop_value(iterable, item, env)
        return item if called(iterable) == "map" else value
