"""Tensors of constants belong where they are used."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind, lacks
from porter.analysis.caches import fill_around
from porter.analysis.factories import (
    COPIES,
    MOVES,
    computed_on_host,
    input_device,
    moved_factory,
    place_factory,
    same_on_device,
)
from porter.analysis.numeric import is_number
from porter.analysis.steps import training_loop
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import keywords, method_call, positional, with_keywords
from porter.syntax.predicates import called, is_plain, last_parts
from porter.syntax.template import fill
from porter.syntax.torch_names import PLAIN_FACTORIES
from porter.syntax.values import may_be_tensor
from porter.syntax.walk import dotted

_MADE = PLAIN_FACTORIES - COPIES
_HOST_ARITHMETIC = frozenset(
    f"torch.{n}"
    for n in (
        "arange linspace logspace range hann_window hamming_window blackman_window bartlett_window kaiser_window "
        "tril_indices triu_indices"
    ).split()
)


class MakeTensorsOnDevice(Rule):
    """Make zeros, ones and ranges on the device instead of moving them there.

    `torch.zeros(n).to(x.device)` fills a host tensor and uploads it, every step. With `device=` it is a constant of
    the graph and costs nothing. What is computed in floating point (`torch.linspace`, windows, a step that is not known
    to be an int) is still made on the host, in torch's own arithmetic, and uploaded: see DEV017.
    """

    code = "DEV003"
    title = "make tensors on the device"
    safety = Safety.EXACT
    message = (
        "the tensor was filled on the host and uploaded each step; made on the device it is a constant of the graph"
    )
    calls: ClassVar = MOVES
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def count(x):
                    return torch.zeros(x.size(0)).to(dtype=x.dtype, device=x.device) + x.sum(1)
                """,
            after="""
                import torch


                def count(x):
                    return torch.zeros(x.size(0), dtype=x.dtype, device=x.device) + x.sum(1)
                """,
            call="count(x)",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def count(x):
                    return torch.zeros(size=(x.size(0),)).to(x.device, x.dtype, True) + x.sum(1)
                """,
            after="""
                import torch


                def count(x):
                    return torch.zeros(size=(x.size(0),), device=x.device, dtype=x.dtype) + x.sum(1)
                """,
            call="count(x)",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
        ),
        Example(
            before="""
                import torch


                def count(x, other):
                    return torch.zeros(x.size(0)).type_as(other) + x.sum(1)
                """,
            after="""
                import torch


                def count(x, other):
                    return torch.zeros(x.size(0), device=other.device, dtype=other.dtype) + x.sum(1)
                """,
            call="count(x, x.double())",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
        ),
        Example(
            before="""
                import torch


                def mask(x):
                    return torch.ones(x.size(0), 1, x.size(1)).to(x)
                """,
            after="""
                import torch


                def mask(x):
                    return torch.ones(x.size(0), 1, x.size(1), device=x.device, dtype=x.dtype)
                """,
            call="mask(x)",
            inputs="x = torch.arange(6.0).reshape(2, 3)",
        ),
        Example(  # six of them, in float64 on the host
            before="""
                import torch


                def steps(x):
                    return torch.arange(0, 1, 1 / 6).to(x.device) * x.sum()
                """,
            after="""
                import torch
                from . import utils


                def steps(x):
                    return utils.computed_on_host(torch.arange, 0, 1, 1 / 6, device=x.device) * x.sum()
                """,
            call="steps(x)",
            inputs="x = torch.ones(3)",
            grad=("x",),
        ),
        Example(  # 0.1 as float32, then as float64
            before="""
                import torch


                def tenth(x):
                    return torch.full((2,), 0.1).to(x.device, x.dtype)
                """,
            after="""
                import torch


                def tenth(x):
                    return torch.full((2,), 0.1, device=x.device).to(dtype=x.dtype)
                """,
            call="tenth(x)",
            inputs="x = torch.ones(3, dtype=torch.float64)",
        ),
        Example(  # indices are integers
            before="""
                import torch


                def below(x):
                    return torch.tril_indices(3, 3).to(x.device, torch.float64)
                """,
            after="""
                import torch
                from . import utils


                def below(x):
                    return utils.computed_on_host(torch.tril_indices, 3, 3, device=x.device).to(dtype=torch.float64)
                """,
            call="below(x)",
            inputs="x = torch.ones(3)",
        ),
    )
    untouched: ClassVar = (
        # what it would be read of is computed, and would be twice
        """
        import torch


        def count(x):
            return torch.zeros(x.size(0)).type_as(x.half())
        """,
        """
        import torch


        def mask(x):
            return torch.ones(2, device=x.device).to(x.dtype)
        """,
        """
        import torch


        def mask(x, where):
            return torch.ones(2).to(*where)
        """,
        """
        import numpy


        def mask(x):
            return numpy.ones(2).to(x.device)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        moved = moved_factory(self.file, node, _MADE)
        if moved is None or self.host_reason(node) is not None:
            return
        if fill_around(self.file, node) is not None:
            return  # a constant that is kept has to be uploaded data, not a node of the first graph
        if not same_on_device(self.file, moved.factory):
            self.replace(node, place_factory(moved, self.runtime("utils.computed_on_host")))
            return
        order = [k for k in keywords(node) if k in ("device", "dtype")]
        if order[:1] == ["dtype"] and moved.dtype is not None and moved.merges:
            self.replace(node, with_keywords(moved.factory, dtype=moved.dtype, device=moved.device))
        else:
            self.replace(node, place_factory(moved))


class MakeLengthsOnDevice(Rule):
    """Make one-element tensors of Python numbers on the device.

    `torch.LongTensor([n]).to(device)` and `torch.tensor([n], device=device)` copy Python values to a host tensor and
    upload it. `torch.full` with the same value is a constant of the graph.
    """

    code = "DEV004"
    title = "make lengths and scalars on the device"
    safety = Safety.EXACT
    message = "the number was uploaded as a tensor of its own; as a constant of the graph it needs no upload"
    calls: ClassVar = last_parts((*MOVES, *COPIES))
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def lengths(x):
                    return torch.LongTensor([x.size(2)]).to(x.device)
                """,
            after="""
                import torch


                def lengths(x):
                    return torch.full((1,), x.size(2), dtype=torch.long, device=x.device)
                """,
            call="lengths(x)",
            inputs="x = torch.ones(2, 3, 5)",
        ),
        Example(
            before="""
                import torch


                def zero(x):
                    return torch.tensor([0.0], device=x.device, requires_grad=True) + x
                """,
            after="""
                import torch


                def zero(x):
                    return torch.full((1,), 0.0, device=x.device, requires_grad=True) + x
                """,
            call="zero(x)",
            inputs="x = torch.ones(2)",
        ),
        Example(
            before="""
                import torch


                def zero(x):
                    return torch.tensor(0.5, device=x.device) * x
                """,
            after="""
                import torch


                def zero(x):
                    return torch.full((), 0.5, device=x.device) * x
                """,
            call="zero(x)",
            inputs="x = torch.ones(2)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def overtones(f0, n):
                    return f0 * torch.FloatTensor([[range(1, n + 2)]]).to(f0.device)
                """,
            after="""
                import torch


                def overtones(f0, n):
                    return f0 * torch.arange(1, n + 2, dtype=torch.float32, device=f0.device)[None, None]
                """,
            call="overtones(x, 3)",
            inputs="x = torch.linspace(1, 2, 6).reshape(2, 3, 1)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def place(x):
                    return torch.LongTensor([[x.size(0)]]).to(x.device)
                """,
            after="""
                import torch


                def place(x):
                    return torch.full((1, 1), x.size(0), dtype=torch.long, device=x.device)
                """,
            call="place(x)",
            inputs="x = torch.ones(2)",
        ),
        Example(  # 0.001 as float32, then as float64
            before="""
                import torch


                def least(x):
                    return torch.tensor([1e-3]).to(x.device, torch.float64)
                """,
            after="""
                import torch


                def least(x):
                    return torch.full((1,), 1e-3, device=x.device).to(dtype=torch.float64)
                """,
            call="least(x)",
            inputs="x = torch.ones(2)",
        ),
        Example(  # a number that wraps around
            before="""
                import torch


                def width(x):
                    return torch.tensor([x.numel()]).to(x.device, x.dtype)
                """,
            after="""
                import torch


                def width(x):
                    return torch.full((1,), x.numel(), device=x.device).to(dtype=x.dtype)
                """,
            call="width(x)",
            inputs="x = torch.ones(300, dtype=torch.uint8)",
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def table(x, rows):
            return torch.tensor(rows, device=x.device)
        """,
        """
        import torch


        def nested(x, rows):
            return torch.tensor([rows], device=x.device)
        """,
        """
        import torch


        def pair(x):
            return torch.tensor([1, 2], device=x.device)
        """,
        # of tensors, these are tensors
        """
        import torch


        def whole(x):
            return torch.tensor([abs(x.sum())], device=x.device)
        """,
        """
        import torch


        def most(x, n):
            return torch.tensor([max(x.max(), n)], device=x.device)
        """,
        """
        import torch


        def total(x):
            return torch.tensor([sum(x)], device=x.device) + torch.relu(x)
        """,
        # no range of Python's, or one of tensors
        """
        import torch


        def steps(x, range):
            return torch.FloatTensor([range(1, 4)]).to(x.device)
        """,
        """
        import torch


        def steps(x):
            return torch.FloatTensor([range(x.argmax())]).to(x.device)
        """,
        # a float of an int
        """
        import torch


        def three(x):
            return torch.scalar_tensor(3, device=x.device) * x
        """,
        # no device is named, so this one stays on the host for all that is known
        """
        import torch


        def lengths(x):
            return torch.LongTensor([x.size(2)])
        """,
        # by place, torch.full takes other things
        """
        import torch


        def lengths(x):
            return torch.as_tensor([x.size(2)], torch.float32, x.device)
        """,
        # a type of its own on top of the move
        """
        import torch


        def lengths(x):
            return torch.LongTensor([x.size(2)]).to(x.device, torch.float16)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = self._typed(node) or self._plain(node)
        if found is not None and self.host_reason(node) is None:
            self.replace(node, found)

    def _typed(self, node: cst.Call) -> cst.BaseExpression | None:
        """`torch.LongTensor([n]).to(device)`, and `torch.FloatTensor([[range(a, b)]]).to(device)`."""
        for name, dtype in (("LongTensor", "long"), ("IntTensor", "int"), ("FloatTensor", "float32")):
            moved = moved_factory(self.file, node, {f"torch.{name}"})
            torch = self.file.alias("torch") if moved is not None else None
            if moved is not None and torch is not None and len(moved.factory.args) == 1 and moved.dtype is None:
                return self._of_type(moved.factory.args[0].value, torch, f"{torch}.{dtype}", moved.device)
        return None

    def _of_type(
        self, value: cst.BaseExpression, torch: str, dtype: str, device: cst.BaseExpression
    ) -> cst.BaseExpression | None:
        """A tensor of one number, or of a range of them, in lists."""
        single = self._single(value)
        if single is not None:
            text = f"__full({_ones(single[1])}, __value, dtype=__dtype, device=__device)"
            return self.fill(text, full=f"{torch}.full", value=single[0], dtype=dtype, device=device)
        inner, around = _unwrapped(value, cst.List)
        if not around or not isinstance(inner, cst.Call) or not self._is_range(inner):
            return None
        counted = inner.with_changes(func=cst.parse_expression(f"{torch}.arange"))
        made = with_keywords(counted, dtype=cst.parse_expression(dtype), device=device)
        return self.fill(f"__made[{', '.join(['None'] * around)}]", made=made)

    def _is_range(self, node: cst.Call) -> bool:
        """Python's own `range` of one or two numbers."""
        numbers = all(is_plain(arg) and not may_be_tensor(self.file.kind(arg.value)) for arg in node.args)
        return called(node) == "range" and len(node.args) in (1, 2) and numbers and self._is_builtin()

    def _plain(self, node: cst.Call) -> cst.BaseExpression | None:
        """`torch.tensor(n or [n], device=device)`, or the same moved afterwards."""
        if not method_call(node, *MOVES):
            return self._full(node)
        moved = moved_factory(self.file, node, COPIES)
        if moved is None:
            return None
        if moved.merges:
            return self._full(place_factory(moved))
        made = self._full(place_factory(replace(moved, dtype=None)))
        if made is None or moved.dtype is None:
            return made
        # 0.1 as float32, then as float64, is not 0.1
        return fill("__made.to(dtype=__dtype)", made=made, dtype=moved.dtype)

    def _full(self, call: cst.Call) -> cst.Call | None:
        """`torch.full` for a tensor of one number on a device."""
        resolved = self.file.resolve(call.func)
        if resolved not in COPIES or not bind(self.file, call, "device"):
            return None
        first = call.args[0]
        if positional(call) != [first.value]:
            return None  # what stands behind it by place is another parameter of torch.full
        single = self._single(first.value)
        value, around = single if single is not None else (self._number(first.value), 0)
        torch = self.file.alias("torch")
        if value is None or torch is None:
            return None
        if resolved == "torch.scalar_tensor" and (single is not None or _is_int(value)):
            return None  # that takes no list, and makes a float of an int
        size = cst.Arg(cst.parse_expression(_ones(around)))
        args = [size, first.with_changes(value=value), *call.args[1:]]
        return call.with_changes(func=cst.parse_expression(f"{torch}.full"), args=args)

    def _is_builtin(self) -> bool:
        """Whether nothing in the file is called `range` but Python's own."""
        return not any(
            (isinstance(n, cst.Param) and n.name.value == "range")
            or (isinstance(n, cst.AssignTarget) and dotted(n.target) == "range")
            or (isinstance(n, cst.FunctionDef) and n.name.value == "range")
            for n in self.file.index.nodes
        )

    def _single(self, node: cst.BaseExpression) -> tuple[cst.BaseExpression, int] | None:
        """The one element of a list, if it is a Python number, and how many lists are around it."""
        inner, around = _unwrapped(node, cst.List, cst.Tuple)
        return (inner, around) if around and is_number(self.file, inner) else None

    def _number(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        inner = node.expression if isinstance(node, cst.UnaryOperation) else node
        return node if isinstance(inner, (cst.Integer, cst.Float)) else None


def _unwrapped(node: cst.BaseExpression, *kinds: type[cst.List | cst.Tuple]) -> tuple[cst.BaseExpression, int]:
    """What is in lists of one element, and how many are around it."""
    around = 0
    while isinstance(node, kinds) and len(node.elements) == 1:
        node, around = node.elements[0].value, around + 1
    return node, around


def _ones(dimensions: int) -> str:
    """The shape of one number in that many lists."""
    return "(1,)" if dimensions == 1 else f"({', '.join(['1'] * dimensions)})"


def _is_int(node: cst.BaseExpression) -> bool:
    inner = node.expression if isinstance(node, cst.UnaryOperation) else node
    return isinstance(inner, cst.Integer)


class MakeTensorsBesideInputs(Rule):
    """Make tensors on the device of a function's inputs when no device is given.

    A factory call without a device, in a function that works on tensors, makes a host tensor. As soon as it meets a
    device tensor it is uploaded (an index) or an error (arithmetic). The inputs say which device is meant.
    """

    code = "DEV005"
    title = "make tensors beside a function's inputs"
    safety = Safety.EXACT
    message = "the tensor was made on the host although the function's inputs are on the device"
    calls: ClassVar = last_parts(("tensor", *_MADE))
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def rows(table, x):
                    start = torch.zeros((x.shape[0],), dtype=torch.long)
                    return table[start] + x
                """,
            after="""
                import torch


                def rows(table, x):
                    start = torch.zeros((x.shape[0],), dtype=torch.long, device=x.device)
                    return table[start] + x
                """,
            call="rows(table, x)",
            inputs="""
                table = torch.arange(6.0)
                x = torch.ones(3)
                """,
        ),
        Example(
            before="""
                import torch


                def places(x):
                    return torch.arange(end=x.size(0), step=1, start=0) + torch.relu(x)
                """,
            after="""
                import torch


                def places(x):
                    return torch.arange(end=x.size(0), step=1, start=0, device=x.device) + torch.relu(x)
                """,
            call="places(x)",
            inputs="x = torch.ones(3)",
        ),
        Example(
            before="""
                import torch


                def doubled(x, n):
                    return torch.relu(x) + torch.log(torch.tensor(2)) * n
                """,
            after="""
                import torch


                def doubled(x, n):
                    return torch.relu(x) + torch.log(torch.full((), 2, device=x.device)) * n
                """,
            call="doubled(x, 3)",
            inputs="x = torch.ones(3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # as many as somebody says
        """
        import torch


        def table(x, rows):
            return torch.relu(x) + torch.tensor(rows)
        """,
        """
        import torch


        def positions(length):
            return torch.arange(length)
        """,
        """
        import torch


        def rows(x):
            return torch.zeros_like(x) + torch.zeros(1, device=x.device)
        """,
        # whoever wrote the block chose a device
        """
        import torch


        def rows(x):
            with torch.device('cpu'):
                return torch.relu(x), torch.zeros(2)
        """,
        # built on the host, and moved with the model
        """
        import torch


        class Net(torch.nn.Module):
            def __init__(self, x):
                super().__init__()
                self.table = torch.zeros(2) + torch.relu(x)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        target = self.file.resolve(node.func)
        number = target == "torch.tensor" and self._is_number(node)
        if not (number or target in _MADE) or self._has_device(node):
            return
        device = self._device(node, number)
        if device is None:
            return
        placed = with_keywords(node, device=device)
        torch = self.file.alias("torch")
        if not number:
            exact = same_on_device(self.file, node)
            self.replace(node, placed if exact else computed_on_host(placed, self.runtime("utils.computed_on_host")))
        elif torch is not None:
            args = [cst.Arg(cst.Tuple([])), *placed.args]
            self.replace(node, placed.with_changes(func=cst.parse_expression(f"{torch}.full"), args=args))

    def _has_device(self, node: cst.Call) -> bool:
        """Whether something says where a tensor is made, or moves it right away: DEV003 or the hazard scan has that."""
        parent = self.file.parent(node)
        moved = isinstance(parent, cst.Attribute) and parent.attr.value in ("to", "cuda", "type_as")
        if moved or not lacks(self.file, node, "device") or self.host_reason(node) is not None:
            return True
        return self._on_given_device(node) or fill_around(self.file, node) is not None

    def _device(self, node: cst.Call, number: bool) -> cst.BaseExpression | None:
        """The inputs' device; for a number in a trainer's step, which has none, the one in use."""
        device = input_device(self.file, node)
        if device is not None or not number or not self.file.is_trainer or training_loop(self.file, node) is None:
            return device
        return self.fill("__f()", f="utils.default_device")

    def _is_number(self, node: cst.Call) -> bool:
        """Whether a tensor is made of a literal number, with nothing but a type told of it."""
        first, *others = node.args or [cst.Arg(cst.Name("None"))]
        value = first.value.expression if isinstance(first.value, cst.UnaryOperation) else first.value
        told = all(arg.keyword is not None and arg.keyword.value == "dtype" for arg in others)
        return first.keyword is None and not first.star and isinstance(value, (cst.Integer, cst.Float)) and told

    def _on_given_device(self, node: cst.Call) -> bool:
        """Inside `with torch.device(...)`, or as an index or operand that already says its device."""
        return any(
            isinstance(a, cst.With)
            and any(isinstance(i.item, cst.Call) and self.file.resolve(i.item.func) == "torch.device" for i in a.items)
            for a in self.file.ancestors(node)
        )


class ComputeFractionsOnHost(Rule):
    """Compute ranges of fractions, windows and the indices of triangles on the host.

    `torch.arange(0, 1, 1 / 6)` has six elements, and seven on XLA; `torch.linspace` and windows differ in the last digit,
    on a TPU in more; `torch.tril_indices` has no operator there, and leaves the device. They are constants: made on the host in torch's own arithmetic and uploaded, they are the numbers
    that upstream has, and data of one graph.
    """

    code = "DEV017"
    title = "compute ranges of fractions on the host"
    safety = Safety.EXACT
    message = "devices compute fractions differently, and with them sizes; the host's numbers are uploaded"
    calls: ClassVar = last_parts(_HOST_ARITHMETIC)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def ramp(x, n):
                    return x * torch.linspace(0, 1, n, device=x.device, dtype=x.dtype)
                """,
            after="""
                import torch
                from . import utils


                def ramp(x, n):
                    return x * utils.computed_on_host(torch.linspace, 0, 1, n, device=x.device, dtype=x.dtype)
                """,
            call="ramp(x, 7)",
            inputs="x = torch.ones(2, 7)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def steps(x, step):
                    return torch.arange(start=0, end=1, step=step, device=x.device) * x.sum()
                """,
            after="""
                import torch
                from . import utils


                def steps(x, step):
                    return utils.computed_on_host(torch.arange, start=0, end=1, step=step, device=x.device) * x.sum()
                """,
            call="steps(x, 0.1)",
            inputs="x = torch.ones(3)",
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def places(x, n):
            return torch.arange(n, device=x.device) + x
        """,
        """
        import torch


        def places(x):
            return torch.arange(1, x.size(0) + 1, device=x.device) + x
        """,
        """
        import torch


        def ramp(n):
            return torch.linspace(0, 1, n)
        """,
        # a leaf of autograd
        """
        import torch


        def ramp(x):
            return x * torch.linspace(0, 1, 3, device=x.device, requires_grad=True)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in _HOST_ARITHMETIC or not bind(self.file, node, "device"):
            return
        if not lacks(self.file, node, "requires_grad", "out") or self.host_reason(node) is not None:
            return
        if fill_around(self.file, node) is None and not same_on_device(self.file, node):
            self.replace(node, computed_on_host(node, self.runtime("utils.computed_on_host")))
