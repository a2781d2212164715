"""Kinds of values for the scan: what they have in common, whatever is looked at.

`porter.syntax.kinds` says TENSOR only where it is sure, since rules rewrite on its word. The scan must not miss one:
here a parameter is what its callers give, `Kind.MAYBE` is what is used like an array, and HOST is said only where
something tells it. Code that never runs for the device is judged by the sure kinds.
"""

from __future__ import annotations

import sys

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax.annotations import annotated
from ....syntax.kinds import Kinds
from ....syntax.values import Env, Instance, Kind, Value, either
from ....syntax.walk import spelled
from .binding import Owner
from .shapes import one_of
from .world import World


class Objects(Kinds):
    """Kinds of one file, with the project's classes, functions and variables at hand."""

    def __init__(self, file: SourceFile, flow: World) -> None:
        """`flow` knows the project's other files."""
        super().__init__(file.index, file.call_result)
        self.file = file
        self._flow = flow
        self._uses: dict[cst.FunctionDef, Env] = {}
        self._as_masks: dict[cst.FunctionDef, frozenset[str]] = {}
        self._sure = Kinds(file.index, self._sure_result)

    def of(self, node: cst.CSTNode) -> Value:
        """The kind of an expression where it stands."""
        if self.on_host(node):
            return self._sure.of(node)
        self._flow.solve()
        found = self._known.get(node)
        if found is None:  # a default value, say, which no function evaluates
            return Kind.HOST if isinstance(node, cst.BaseNumber | cst.BaseString) else Kind.UNKNOWN
        return found

    def on_host(self, node: cst.CSTNode) -> bool:
        """Whether a place is in code that never runs for the device, as a whole."""
        parents = self._index.parents
        around: cst.CSTNode | None = node
        while around is not None and type(around) is not cst.FunctionDef:
            if type(around) is cst.Lambda:
                return False  # it runs when it is called, wherever that is
            around = parents.get(around)
        return self._flow.on_host(self.file, self._index.module if around is None else around)

    def calls_of(self, function: cst.FunctionDef) -> list[tuple[SourceFile, cst.Call, int]]:
        """The calls of a function that the project holds, and how many parameters Python fills in for each."""
        self._flow.solve()
        return self._flow.calls_of(function)

    def returned(self, function: cst.FunctionDef) -> Value:
        """The kind of what a function returns."""
        return self._flow.returned(self.file, function)

    def attribute(self, owner: cst.ClassDef, name: str) -> Value:
        """The kind of `self.name` in a class."""
        found = self._flow.attribute(self.file, owner, name)
        if found is not None:
            return found
        method = self._flow.method(self.file, owner, name)
        if method is not None and any(spelled(d.decorator).endswith("property") for d in method.function.decorators):
            return self._flow.returned(method.file, method.function)
        return Kind.HOST if name == "training" else Kind.UNKNOWN

    def variable(self, name: str) -> Value:
        """The kind of a variable of this file."""
        return (self._globals or {}).get(name, Kind.UNKNOWN)

    def go_through(self, function: cst.CSTNode) -> Value:
        """Look at a function's statements with what is known by now; the kind of what it returns."""
        self._returns.pop(function, None)
        self._evaluate(function)
        return self._returns.get(function, Kind.HOST)

    def _run(self, function: cst.CSTNode) -> None:
        self._flow.run_outer(self.file, function)

    def _sure_result(self, name: str) -> Value | None:
        found = self.file.project.definition(f"{self.file.dotted_path}{name}" if name.startswith(".") else name)
        if found is None:
            return self.file.runtime_value(name)
        file, node = found
        if isinstance(node, cst.ClassDef):
            return Kind.MODULE if file.defines_module(node) else None
        assert isinstance(file.kinds, Objects)
        return file.kinds._sure.returned(node)

    def _join(self, a: Value, b: Value) -> Value:
        return either(a, b)

    def _annotated(self, annotation: cst.Annotation | None) -> Value:
        if annotation is None:
            return Kind.UNKNOWN
        noted = annotated(annotation.annotation)
        if noted is Kind.UNKNOWN:
            target = self.file.resolve(annotation.annotation)
            found = self.file.project.definition(target)
            if target is not None and found is not None and isinstance(found[1], cst.ClassDef):
                return Instance(frozenset({target}))
        return noted

    def _classes(self, receiver: cst.BaseExpression, env: Env) -> list[Owner]:
        """The project's classes that an object may be of."""
        if isinstance(receiver, cst.Name) and receiver.value == "self":
            owner = self._class_of(receiver)
            return [] if owner is None else [Owner(self.file, owner)]
        value = self._known.get(receiver)
        return self._owners(value) if isinstance(value, Instance) else []

    def _owners(self, value: Instance) -> list[Owner]:
        found = map(self.file.project.class_definition, sorted(value.classes))
        return [Owner(*one) for one in found if one is not None]

    def _of_instance(self, base: Instance, name: str) -> Value:
        return one_of(_kinds(owner).attribute(owner.owner, name) for owner in self._owners(base))

    def _named_thing(self, target: str) -> Value:
        """What an imported or defined name is: a number of numpy's, a variable of another file."""
        top = target.partition(".")[0]
        if top in sys.stdlib_module_names or top == "numpy":
            return Kind.HOST
        module, _, name = target.rpartition(".")
        file = self.file.project.module(module)
        if file is not None and self.file.project.definition(target) is None:
            return self._flow.globals_of(file, name)
        return Kind.HOST if target.startswith("torch.") else Kind.UNKNOWN


def _kinds(owner: Owner) -> Objects:
    assert isinstance(owner.file.kinds, Objects)
    return owner.file.kinds
