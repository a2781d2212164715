"""Tensors that outlive a step have to be data, not a piece of a graph."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind, without
from porter.analysis.caches import fills
from porter.analysis.factories import MOVES, read_move
from porter.analysis.resent import resent
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call, with_keywords
from porter.syntax.template import substitute
from porter.syntax.torch_names import FACTORIES
from porter.syntax.values import Kind, is_tensor
from porter.syntax.walk import children


class UploadCachedConstants(Rule):
    """Keep constants in caches as uploaded data.

    A tensor computed on an XLA device is a node of the graph that is being traced until that graph runs. Kept in a
    module-level dictionary and used again, it is an expression in the first step and a parameter in the next: two
    graphs, compiled twice, and a reference to the first graph for as long as the cache lives. A constant that is
    computed on the host and uploaded is a parameter from the first step on.
    """

    code = "DEV006"
    title = "upload cached constants"
    safety = Safety.EXACT
    message = "a cached tensor computed on the device is part of the first graph and a parameter of later ones"
    examples: ClassVar = (
        Example(
            before="""
                import torch

                ramps = {}


                def ramp(x, n):
                    if n not in ramps:
                        ramps[n] = torch.arange(n).type_as(x)
                    return x * ramps[n]
                """,
            after="""
                import torch
                from . import utils

                ramps = {}


                def ramp(x, n):
                    if n not in ramps:
                        ramps[n] = utils.constant(torch.arange(n), device=x.device, dtype=x.dtype)
                    return x * ramps[n]
                """,
            call="ramp(x, 3)",
            inputs="x = torch.linspace(1, 2, 3)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch

                ramps = {}


                def ramp(x, n):
                    key = str(n) + str(x.device)
                    if key not in ramps:
                        ramps[key] = torch.arange(n, device=x.device) / n
                    return x * ramps[key]
                """,
            after="""
                import torch
                from . import utils

                ramps = {}


                def ramp(x, n):
                    key = str(n) + str(x.device)
                    if key not in ramps:
                        ramps[key] = utils.constant(torch.arange(n) / n, device=x.device)
                    return x * ramps[key]
                """,
            call="ramp(x, 4)",
            inputs="x = torch.ones(2, 4)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch

                windows = {}


                def window(x, n):
                    if n not in windows:
                        windows[n] = torch.hann_window(n).to(dtype=x.dtype, device=x.device)
                    return x * windows[n]
                """,
            after="""
                import torch
                from . import utils

                windows = {}


                def window(x, n):
                    if n not in windows:
                        windows[n] = utils.constant(torch.hann_window(n), device=x.device, dtype=x.dtype)
                    return x * windows[n]
                """,
            call="window(x, 4)",
            inputs="x = torch.ones(2, 4)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch

        names = {}


        def name(n):
            names[n] = str(n)
            return names[n]
        """,
        # data of this step, with its gradient
        """
        import torch

        last = {}


        def keep(x):
            last[0] = x.mean().to(x.device)
            return torch.relu(x) * last[0]
        """,
        """
        import torch


        def local(x):
            made = {}
            made[0] = torch.arange(3, device=x.device)
            return made[0]
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        if not fills(self.file, node):
            return
        new = self._uploaded(node.value)
        if new is not None:
            self.replace(node.value, new)

    def _reads_tensors(self, node: cst.CSTNode) -> bool:
        """Whether an expression reads more of a tensor than its shape."""
        kind = self.file.kind(node)
        if kind is Kind.HOST:
            return False
        if isinstance(node, cst.Name) and is_tensor(kind):
            return True
        if isinstance(node, cst.Call) and self.file.resolve(node.func) in FACTORIES:
            return any(self._reads_tensors(a.value) for a in node.args if a.keyword is None)
        return any(self._reads_tensors(c) for c in children(node))

    def _uploaded(self, value: cst.BaseExpression) -> cst.BaseExpression | None:
        """The same constant, computed on the host and uploaded; None when the expression reads device tensors."""
        device: cst.BaseExpression | None = None
        dtype: cst.BaseExpression | None = None
        found = method_call(value, *MOVES)
        if found is not None:
            move = read_move(self.file, found[1])
            if move is None or move.device is None:
                return None
            value, device, dtype = found[0], move.device, move.dtype
        if self._reads_tensors(value):
            return None
        devices: list[cst.BaseExpression] = []
        unsure: list[cst.Call] = []

        def strip(node: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
            if isinstance(node, cst.Call) and self.file.resolve(node.func) in FACTORIES:
                given, bare = bind(self.file, node, "device"), without(self.file, node, "device")
                if given is None or bare is None:
                    unsure.append(node)
                elif given:
                    devices.append(given["device"])
                    return bare
            return None

        host = substitute(value, strip)
        assert isinstance(host, cst.BaseExpression)
        device = device or next(iter(devices), None)
        if device is None or unsure:
            return None
        made = self.fill("__constant(__host, device=__device)", constant="utils.constant", host=host, device=device)
        return made if dtype is None else with_keywords(cst.ensure_type(made, cst.Call), dtype=dtype)


class UploadConstantsOnce(Rule):
    """Send what a module makes of its settings to the device once, not in each step.

    A forward that builds a filter bank or a transform anew computes the same numbers each time, on the host, and uploads
    them each time; so does one that moves a window which its constructor keeps as a plain attribute. The runtime knows
    by their contents what it sent before, and hands out copies that the device makes.
    """

    code = "DEV020"
    title = "upload constants once"
    safety = Safety.EXACT
    message = "each step sends the same numbers to the device; equal ones are sent once"
    calls: ClassVar = ("to", "cuda")
    examples: ClassVar = (
        Example(
            before="""
                import numpy as np
                import torch


                class Bank(torch.nn.Module):
                    def __init__(self, bands, device):
                        super().__init__()
                        bank = torch.from_numpy(np.cos(np.arange(bands))).float().unsqueeze(1).to(device)
                        self.register_buffer("bank", bank)

                    def forward(self, x):
                        return torch.matmul(x, self.bank)


                class Net(torch.nn.Module):
                    def forward(self, x):
                        return Bank(x.size(1), x.device)(x)


                def run(x):
                    return Net()(x)
                """,
            after="""
                import numpy as np
                import torch
                from . import ops


                class Bank(torch.nn.Module):
                    def __init__(self, bands, device):
                        super().__init__()
                        bank = ops.uploaded(torch.from_numpy(np.cos(np.arange(bands))).float().unsqueeze(1), device)
                        self.register_buffer("bank", bank)

                    def forward(self, x):
                        return torch.matmul(x, self.bank)


                class Net(torch.nn.Module):
                    def forward(self, x):
                        return Bank(x.size(1), x.device)(x)


                def run(x):
                    return Net()(x)
                """,
            call="run(x)",
            inputs="x = torch.linspace(-1, 1, 6).reshape(2, 3)",
            grad=("x",),
        ),
        Example(
            before="""
                import numpy as np
                import torch


                class Window(torch.nn.Module):
                    def __init__(self, n):
                        super().__init__()
                        self.window = torch.from_numpy(np.hanning(n).astype(np.float32))

                    def forward(self, x):
                        return torch.relu(x) * self.window.to(x.device)


                def run(x):
                    return Window(3)(x)
                """,
            after="""
                import numpy as np
                import torch
                from . import ops


                class Window(torch.nn.Module):
                    def __init__(self, n):
                        super().__init__()
                        self.window = torch.from_numpy(np.hanning(n).astype(np.float32))

                    def forward(self, x):
                        return torch.relu(x) * ops.uploaded(self.window, x.device)


                def run(x):
                    return Window(3)(x)
                """,
            call="run(x)",
            inputs="x = torch.linspace(-1, 1, 6).reshape(2, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # built once, on the host
        """
        import numpy as np
        import torch


        class Bank(torch.nn.Module):
            def __init__(self, n):
                super().__init__()
                self.bank = torch.nn.Parameter(torch.from_numpy(np.cos(np.arange(n))).to("cpu"))
        """,
        # of another step
        """
        import torch


        class Net(torch.nn.Module):
            def forward(self, x, sounds):
                return torch.relu(x) + torch.from_numpy(sounds).to(x.device)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = resent(self.file, node)
        if found is not None:
            device = found.device or self.fill("__f()", f="utils.default_device")
            self.replace(node, self.fill("__f(__t, __d)", f="ops.uploaded", t=found.tensor, d=device))
