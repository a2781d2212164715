"""Random numbers belong where they are used."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.factories import MOVES, Moved, drawn_in_place, drawn_within, moved_factory, place_factory
from porter.rule import Example, Rule, Safety
from porter.syntax.torch_names import RANDOM_FACTORIES


class DrawNoiseOnDevice(Rule):
    """Draw noise on the device that uses it.

    `torch.randn(...)` without a device draws on the host. Moving the result uploads a new tensor every step and makes
    the step wait for the host; on XLA the draw can be part of the graph instead, from the device's own generator.
    With `device=` in the call itself nothing is uploaded. On the CPU the same generator gives the same numbers; a draw
    in another dtype would be another draw, so a conversion stays behind it.
    """

    code = "RNG001"
    title = "draw noise on the device"
    safety = Safety.EXACT
    message = "the noise was drawn on the host and uploaded each step; drawn on the device it is part of the graph"
    calls: ClassVar = MOVES
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def jitter(x):
                    return x + torch.randn(x.size(0), 1).to(device=x.device, dtype=x.dtype)
                """,
            after="""
                import torch


                def jitter(x):
                    return x + torch.randn(x.size(0), 1, device=x.device).to(dtype=x.dtype)
                """,
            call="jitter(x)",
            inputs="x = torch.linspace(-1, 1, 12).reshape(3, 4)",
            draws=True,
            grad=("x",),
        ),
        Example(
            before="""
                import torch as t


                def start(x, n):
                    return (t.rand([n]).to(x.device) * x.size(1)).long()
                """,
            after="""
                import torch as t


                def start(x, n):
                    return (t.rand([n], device=x.device) * x.size(1)).long()
                """,
            call="start(x, 3)",
            inputs="x = torch.ones(3, 40)",
            draws=True,
        ),
        Example(
            before="""
                import torch


                def noise(x):
                    return x * torch.FloatTensor(x.size(0), 4).normal_().to(x.device)
                """,
            after="""
                import torch


                def noise(x):
                    return x * torch.randn(x.size(0), 4, device=x.device)
                """,
            call="noise(x)",
            inputs="x = torch.ones(3, 4)",
            draws=True,
        ),
        Example(
            before="""
                import torch


                def scaled(x):
                    return x * torch.Tensor(x.size(0), 1).uniform_(0.8, 1.2).to(x.device)
                """,
            after="""
                import torch


                def scaled(x):
                    return x * torch.empty(x.size(0), 1, device=x.device).uniform_(0.8, 1.2)
                """,
            call="scaled(x)",
            inputs="x = torch.ones(3, 4)",
            grad=("x",),
            draws=True,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def jitter(x):
            return x + torch.randn(2, device=x.device)
        """,
        """
        import torch


        class Layer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.randn(3).to(torch.float32))
        """,
        # nobody says how large the result is: torch takes no device then
        """
        import torch


        def jitter(x):
            return torch.normal(x, 1.0).to(x.device)
        """,
        """
        def randn(n):
            return n


        def jitter(x):
            return randn(2).to(device=x.device)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        moved = moved_factory(self.file, node, RANDOM_FACTORIES) or drawn_in_place(self.file, node)
        if isinstance(moved, Moved) and self.host_reason(node) is None:
            self.replace(node, place_factory(moved))
            return
        drawn = drawn_within(self.file, node)
        if drawn is not None and self.host_reason(node) is None:
            self.replace(node, drawn)
