"""TorchScript hides a function from the rules and reads tensors where Python numbers would do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import libcst as cst

from porter.analysis.project import SourceFile
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import parameter_of
from porter.syntax.predicates import only_target
from porter.syntax.template import names_in
from porter.syntax.values import is_tensor
from porter.syntax.walk import holds_any, names_called


class LeaveScripting(Rule):
    """Run scripted functions as plain Python.

    A scripted function is compiled for its own interpreter, once a device and dtype; XLA fuses its operators anyway.
    Scripts also force channel counts into tensors, which XLA would have to read back. From its second call on, a script
    has derivatives of its own: they round differently than those of its operators, and a ReLU gives NaN no gradient.
    """

    code = "JIT001"
    title = "run scripted functions as Python"
    safety = Safety.CLOSE
    message = "XLA fuses the operators itself; a script only adds its own interpreter between"
    calls: ClassVar = ("script",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                @torch.jit.script
                def gate(a, b):
                    return torch.tanh(a) * torch.sigmoid(b)
                """,
            after="""
                import torch


                def gate(a, b):
                    return torch.tanh(a) * torch.sigmoid(b)
                """,
            call="gate(a, b)",
            inputs="""
                a = torch.linspace(-1, 1, 5)
                b = torch.linspace(1, 2, 5)
                """,
            grad=("a", "b"),
        ),
        Example(
            before="""
                import torch


                def gate(a, b):
                    return torch.tanh(a) * torch.sigmoid(b)


                fast = torch.jit.script(gate)
                """,
            after="""
                import torch


                def gate(a, b):
                    return torch.tanh(a) * torch.sigmoid(b)


                fast = gate
                """,
            call="fast(a, b)",
            inputs="""
                a = torch.linspace(-1, 1, 5)
                b = torch.linspace(1, 2, 5)
                """,
            grad=("a",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        class Layer(torch.nn.Module):
            @torch.jit.ignore
            def setup(self):
                return None
        """,
        """
        from play import script


        @script
        def act():
            return 1
        """,
    )

    def visit_Decorator(self, node: cst.Decorator) -> None:
        function = self.file.parent(node)
        if self.file.resolve(node.decorator) == "torch.jit.script":
            self.replace(node, [], needed_in=_compiled(self.file, function))

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.jit.script" and len(node.args) == 1:
            scripted = self.file.project.definition(self.file.resolve(node.args[0].value))
            self.replace(node, node.args[0].value, needed_in=_compiled(*scripted) if scripted else ())


def _compiled(file: SourceFile, scripted: cst.CSTNode | None) -> list[cst.CSTNode]:
    """What TorchScript compiles along with a function or class: the functions of the project that it calls, and where
    the names that they use are imported.
    """
    if scripted is None:
        return []
    reached = file.project.reached(file, scripted)
    return [*reached, *(line for node, here in reached.items() for line in _imports(here, names_in(node)))]


def _imports(file: SourceFile, names: Collection[str]) -> Iterator[cst.ImportFrom]:
    """The from-imports of a file that bind one of these names."""
    for node in file.index.nodes:
        if isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            bound = {alias.evaluated_alias or alias.evaluated_name for alias in node.names}
            if not bound.isdisjoint(names):
                yield node


_BEFORE = """import torch


def gate(x, count):
    n = count[0]
    return torch.tanh(x[:, :n]) * torch.sigmoid(x[:, n:])


class Layer(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        count = torch.IntTensor([self.width])
        return gate(x, count) + gate(-x, torch.IntTensor([self.width]))
"""


class PassCountsAsNumbers(Rule):
    """Pass channel counts as Python numbers.

    `torch.IntTensor([n])` exists only so that a scripted function can read `count[0]`. As a list it is read the same
    way, and slicing by it needs no tensor.
    """

    code = "JIT002"
    title = "pass channel counts as numbers"
    safety = Safety.EXACT
    message = "slicing by a count kept in a tensor reads the tensor; a list holds the same number"
    calls: ClassVar = ("IntTensor", "LongTensor")
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_BEFORE.replace("torch.IntTensor([self.width])", "[self.width]"),
            call="Layer(2)(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(3, 4)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # here the tensor is computed with
        _BEFORE.replace("n = count[0]", "n = (count * 2)[0] // 2"),
        """
        import torch


        def lengths(x):
            return torch.IntTensor([x.size(0)])
        """,
        # the tensor cuts fractions off, a list would keep them
        _BEFORE.replace("[self.width]", "[self.width / 2]"),
        # another function may need a tensor
        _BEFORE.replace("n = count[0]", "n = torch.neg(count)[0]"),
    )

    def visit_Call(self, node: cst.Call) -> None:
        target = self.file.resolve(node.func)
        if target not in ("torch.IntTensor", "torch.LongTensor") or len(node.args) != 1:
            return
        value = node.args[0].value
        if not isinstance(value, cst.List) or self.host_reason(node) is not None:
            return
        readers = self._readers(node) if all(_is_count(self.file, e.value) for e in value.elements) else []
        if readers:
            # TorchScript takes no list for a tensor.
            plain = [Needed(reader, (LeaveScripting.code,)) for reader in readers]
            self.replace(node, value, needs=[*plain, Needed(self.file.module, ("PKG001",))])

    def _readers(self, node: cst.Call) -> list[cst.FunctionDef]:
        """The functions of the package that the tensor goes to, which read it by a constant index; none where something
        else is done with it.
        """
        parent = self.file.parent(node)
        if isinstance(parent, cst.Arg):
            return self._all_read([parent])
        name = only_target(parent)
        if not isinstance(name, cst.Name):
            return []
        names = names_called(self.file.space(node), name.value)
        return self._all_read([self.file.parent(n) for n in names if n is not name])

    def _all_read(self, given: Sequence[cst.CSTNode | None]) -> list[cst.FunctionDef]:
        """The functions that arguments are given to, if each of these only reads its parameter."""
        found = [self._reader(arg) if isinstance(arg, cst.Arg) else None for arg in given]
        readers = [reader for reader in found if reader is not None]
        return readers if len(readers) == len(found) else []

    def _reader(self, arg: cst.Arg) -> cst.FunctionDef | None:
        call = self.file.parent(arg)
        found = self.file.project.function(self.file.resolve(call.func)) if isinstance(call, cst.Call) else None
        if found is None or not isinstance(call, cst.Call):
            return None
        file, function = found
        given = parameter_of(function, call, arg)
        uses = names_called(function.body, given.name.value) if given is not None else []
        return function if uses and all(_constant_index(file.parent(n)) for n in uses) else None


def _is_count(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether an element is no fraction, which the tensor would cut off."""
    return not holds_any(node, cst.Divide, cst.Float) and not is_tensor(file.kind(node))


def _constant_index(node: cst.CSTNode | None) -> bool:
    if not isinstance(node, cst.Subscript) or len(node.slice) != 1:
        return False
    index = node.slice[0].slice
    return isinstance(index, cst.Index) and isinstance(index.value, cst.Integer)
