"""A helper that makes tensors knows no device; its caller does."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import lacks
from porter.analysis.factories import MOVES, input_device, read_move
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import has_star, method_call
from porter.syntax.predicates import only_target
from porter.syntax.template import names_in
from porter.syntax.torch_names import FACTORIES
from porter.syntax.walk import dotted, own_names, own_of_type


class BuildHelpersOnDevice(Rule):
    """Run helpers that make tensors on the device of the caller.

    `mask(n).to(device=x.device)` builds the mask on the host and uploads it each step. Inside a device context the
    same helper makes it on the device: a constant of the graph.
    """

    code = "DEV007"
    title = "build a helper's tensors on the device"
    safety = Safety.EXACT
    message = "the helper makes its tensors on the host, and they are uploaded each step; told the device, it makes them there"
    calls: ClassVar = MOVES
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def lower(n):
                    return torch.tril(torch.ones(n, n))


                def attend(x):
                    return x @ lower(x.size(1)).to(device=x.device, dtype=x.dtype)
                """,
            after="""
                import torch
                from . import utils


                def lower(n):
                    return torch.tril(torch.ones(n, n))


                def attend(x):
                    return x @ utils.on_device(x.device, lower, x.size(1)).to(device=x.device, dtype=x.dtype)
                """,
            call="attend(x)",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def wave(n):
                    return torch.sin(torch.arange(n) / 7)


                def add(x):
                    signal = wave(x.size(1))
                    return x + signal.to(dtype=x.dtype, device=x.device)
                """,
            after="""
                import torch
                from . import utils


                def wave(n):
                    return torch.sin(torch.arange(n) / 7)


                def add(x):
                    signal = utils.on_device(x.device, wave, x.size(1))
                    return x + signal.to(dtype=x.dtype, device=x.device)
                """,
            call="add(x)",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def ramp(x):
            return torch.arange(x.size(0), device=x.device)


        def add(x):
            return x + ramp(x).to(x.device)
        """,
        # the device is not known yet where the helper is called
        """
        import torch


        def wave(n):
            return torch.ones(n)


        def add(x):
            signal = wave(x.size(1))
            y = x * 2
            return y + signal.to(y.device)
        """,
        """
        def add(table, x):
            return x + table(x).to(x.device)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = method_call(node, *MOVES)
        if found is None or self.host_reason(node) is not None:
            return
        made, move = found[0], read_move(self.file, node)
        if move is None or move.device is None:
            return
        if isinstance(made, cst.Name) and self._known_from_start(move.device, node):
            made = self._made(made) or made
        if isinstance(made, cst.Call) and self._makes_host_tensors(made):
            self.replace(made, self._on_device(made, move.device))

    def _on_device(self, made: cst.Call, device: cst.BaseExpression) -> cst.Call:
        """The same call, made on a device by the runtime."""
        built = cst.ensure_type(self.fill("__f(__d, __g)", f="utils.on_device", d=device, g=made.func), cst.Call)
        return built.with_changes(args=[*built.args, *made.args])

    def _known_from_start(self, device: cst.BaseExpression, node: cst.Call) -> bool:
        """Whether a device can be asked for anywhere in the function: it is that of a parameter."""
        function = self.file.function(node)
        scope = self.file.index.scopes.get(function) if function is not None else None
        return scope is not None and all(
            isinstance(scope.bindings.get(n, [None])[0], cst.Param) and len(scope.bindings[n]) == 1
            for n in names_in(device)
        )

    def _made(self, name: cst.Name) -> cst.BaseExpression | None:
        """What a local name was assigned, if only once and only to be moved."""
        function = self.file.function(name)
        if function is None:
            return None
        uses = own_names(function.body).get(name.value, ())
        assigns = own_of_type(function.body, cst.Assign)
        values = [assign.value for assign in assigns if dotted(only_target(assign)) == name.value]
        moved = [n for n in uses if _is_moved(self.file.parent(n))]
        return values[0] if len(values) == 1 and len(moved) == len(uses) - 1 else None

    def _makes_host_tensors(self, call: cst.Call) -> bool:
        """Whether the callee is a function of the package that calls factories without a device."""
        definition = self.file.project.function(self.file.resolve(call.func) or self._method(call))
        if definition is None or has_star(call):
            return False
        file, function = definition
        makes = [
            n
            for n in own_of_type(function.body, cst.Call)
            if file.resolve(n.func) in FACTORIES and lacks(file, n, "device")
        ]
        return bool(makes) and all(input_device(file, n) is None for n in makes)

    def _method(self, call: cst.Call) -> str | None:
        """The full name of `self.helper`."""
        if not (isinstance(call.func, cst.Attribute) and isinstance(call.func.value, cst.Name)):
            return None
        owner = self.file.owner(call)
        if call.func.value.value != "self" or owner is None:
            return None
        return f"{self.file.dotted_path}.{owner.name.value}.{call.func.attr.value}"


def _is_moved(parent: cst.CSTNode | None) -> bool:
    return isinstance(parent, cst.Attribute) and parent.attr.value in MOVES
