"""Places where a step may be cut into smaller graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import libcst as cst

from porter.analysis.contexts import Contexts
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import functions
from porter.syntax.walk import dotted, own_descendants, own_of_type, spelled

_BEFORE = """import torch
from torch import nn


class Encoder(nn.Module):
    def forward(self, x):
        return x * 2


class Decoder(nn.Module):
    def forward(self, x):
        return x + 1


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x):
        z = self.encoder(x)
        y = self.decoder(z)
        return y


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([Decoder(), Decoder()])

    def forward(self, x):
        total = 0
        for part in self.parts:
            total = total + part(x)
        return total
"""

_AFTER = """import torch
from torch import nn
from . import utils


class Encoder(nn.Module):
    def forward(self, x):
        return x * 2


class Decoder(nn.Module):
    def forward(self, x):
        return x + 1


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def forward(self, x):
        z = self.encoder(x)
        utils.mark_step("encoder")
        y = self.decoder(z)
        utils.mark_step("decoder")
        return y


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([Decoder(), Decoder()])

    def forward(self, x):
        total = 0
        for part in self.parts:
            total = total + part(x)
        utils.mark_step("parts")
        return total
"""


class BreakGraphAtComponents(Rule):
    """Mark where a step may be cut: after each component of a model.

    One graph a step is what runs fastest, and the default. A graph too large for the compiler's memory, or a step to
    be watched part by part, wants smaller ones: `utils.set_graph_breaks("component")` cuts at these marks. With the
    default they do nothing.
    """

    code = "GRF001"
    title = "mark component boundaries"
    safety = Safety.EXACT
    message = 'a boundary between components, where `set_graph_breaks("component")` cuts the graph; no effect otherwise'
    fixes_hazard = False
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="Model()(x) + Judge()(x)",
            inputs="x = torch.ones(3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # a part of another model is no model of its own
        """
        from torch import nn


        class A(nn.Module):
            def forward(self, x):
                return x


        class B(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = A()

            def forward(self, x):
                y = self.one(x)
                return y


        class C(nn.Module):
            def __init__(self):
                super().__init__()
                self.b = B()

            def forward(self, x):
                return self.b(x)
        """,
    )

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        if self._used_elsewhere(node):
            return
        components = dict(self._components(node))
        single = {name for name, many in components.items() if not many}
        for method in functions(node):
            if method.name.value == "__init__":
                continue
            if len(single) >= 2:
                self._mark_calls(method, single)
            elif method.name.value == "forward":
                self._mark_end(method, components.keys() - single)

    def _used_elsewhere(self, node: cst.ClassDef) -> bool:
        """Whether another class of the package builds this one (or derives from it)."""
        return any(
            (file.owner(use) is not None and file.owner(use) is not node) or _is_base(file.parent(use))
            for file, use in self.file.project.fact(Contexts).references(node)
        )

    def _components(self, owner: cst.ClassDef) -> Iterator[tuple[str, bool]]:
        """Attributes that hold modules of the package: name, and whether it is a list of them."""
        for assign in own_descendants_of_methods(owner):
            name = dotted(assign.targets[0].target)
            if name is None or not name.startswith("self.") or name.count(".") != 1:
                continue
            if self._is_component(assign.value):
                yield name.removeprefix("self."), False
            elif self._is_list(assign.value) and self._holds_components(owner, assign.value):
                yield name.removeprefix("self."), True

    def _is_component(self, value: cst.BaseExpression) -> bool:
        """A module whose class stands beside the model's own: models.py has the components, other files the layers."""
        if not isinstance(value, cst.Call):
            return False
        found = self.file.project.definition(self.file.resolve(value.func))
        return found is not None and isinstance(found[1], cst.ClassDef) and found[0] is self.file

    def _is_list(self, value: cst.BaseExpression) -> bool:
        return isinstance(value, cst.Call) and self.file.resolve(value.func) == "torch.nn.ModuleList"

    def _holds_components(self, owner: cst.ClassDef, value: cst.BaseExpression) -> bool:
        """The list is filled with modules of the package, in place or through a local name."""
        parts = list(own_descendants(value))
        names = {n.value for n in parts if isinstance(n, cst.Name)}
        for assign in own_descendants_of_methods(owner):
            if dotted(assign.targets[0].target) in names:
                parts += list(own_descendants(assign.value))
        return any(isinstance(p, cst.Call) and self._is_component(p) for p in parts)

    def _mark_calls(self, method: cst.FunctionDef, components: set[str]) -> None:
        for line in own_of_type(method.body, cst.SimpleStatementLine):
            if not isinstance(line.body[0], cst.Assign):
                continue
            called = [
                name
                for n in own_of_type(line, cst.Call)
                if (name := spelled(n.func).removeprefix("self.")) in components and spelled(n.func).startswith("self.")
            ]
            if called and not self._marked_after(line) and self.host_reason(line) is None:
                self.replace(line, [line, self._mark(called[0])], alone=True)

    def _mark_end(self, method: cst.FunctionDef, components: set[str]) -> None:
        loops = [
            name
            for n in own_of_type(method.body, cst.For)
            for part in own_descendants(n.iter)
            if (name := spelled(part).removeprefix("self.")) in components
        ]
        last = method.body.body[-1]
        before = method.body.body[-2] if len(method.body.body) > 1 else None
        if not loops or not isinstance(last, cst.SimpleStatementLine) or not isinstance(last.body[0], cst.Return):
            return
        if before is None or "mark_step" not in cst.Module([]).code_for_node(before):
            self.replace(last, [self._mark(loops[0]), last.with_changes(leading_lines=[])], alone=True)

    def _marked_after(self, line: cst.SimpleStatementLine) -> bool:
        siblings = self.file.siblings(line)
        at = siblings.index(line)
        return at + 1 < len(siblings) and "mark_step" in cst.Module([]).code_for_node(siblings[at + 1])

    def _mark(self, name: str) -> cst.BaseStatement:
        call = self.fill(f"__f('{name}')", f="utils.mark_step")
        assert isinstance(call, cst.Call)
        quoted = call.with_changes(args=[cst.Arg(cst.SimpleString(f'"{name}"'))])
        return cst.SimpleStatementLine([cst.Expr(quoted)])


def own_descendants_of_methods(owner: cst.ClassDef) -> Iterator[cst.Assign]:
    """Single assignments in the methods of a class."""
    for method in owner.body.body:
        if isinstance(method, cst.FunctionDef):
            yield from (node for node in own_of_type(method.body, cst.Assign) if len(node.targets) == 1)


def _is_base(parent: cst.CSTNode | None) -> bool:
    return isinstance(parent, cst.Arg)
